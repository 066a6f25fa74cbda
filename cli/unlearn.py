"""`tfunlearn unlearn`."""

from __future__ import annotations

import click

from tfunlearn.core.errors import refuse
from tfunlearn.core.files import user_path
from tfunlearn.core.requests import DETECTED
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.settings import AUTO, common_fields, own_fields, unlearn_settings
from tfunlearn.runs.detections import choose_detection
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.workflows.profile import record_profile
from tfunlearn.workflows.unlearn.workflow import unlearn as unlearn_run
from tfunlearn_cli.method_options import Choice, MethodCommand
from tfunlearn_cli.options import (
    allow_code_option,
    engine_option,
    field_options,
    merged,
    preset_fields,
    preset_option,
    request_options,
    request_words,
)
from tfunlearn_cli.unlearn_display import UnlearningDisplay, end_if_failed

COMMON = {name: field for name, field in common_fields().items() if name != "forget"}
METHOD = Choice(UNLEARNING, (AUTO,), {AUTO: lambda: own_fields(AUTO)})


@click.command(cls=MethodCommand, choices={"method": METHOD}, section="unlearn")
@click.argument("run", metavar="RUN")
@request_options
@click.option("--detected", is_flag=True, help="Forget the clients that tfunlearn detect flagged.")
@click.option("--detector", metavar="NAME", help="Whose findings, with --detected.")
@field_options(COMMON)
@click.option(
    "--config",
    metavar="FILE",
    help="Read these fields from a .json or .toml file; flags override it.",
)
@preset_option
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@click.option("--out", metavar="DIR", help="New run directory.  [default: <RUN>-<method>]")
@engine_option
@allow_code_option
def unlearn(
    run,
    malicious,
    clients,
    classes,
    examples,
    detected,
    detector,
    config,
    preset,
    data_dir,
    out,
    **knobs,
):
    """Unlearn clients, classes or examples of a run, and compare with retraining.

    RUN is the folder of a run of `train` or of an earlier `unlearn`; it is not changed. If
    unlearning ruins the model, recovery stops, the new run is kept and marked as failed, and the
    exit code is 1.

    Example: tfunlearn unlearn runs/digits-lenet5-label-flip-flap-seed0 --method fedup
    """
    begin, given = preset_fields(preset, "unlearn"), merged(config, knobs)
    if given.get("method", begin.get("method")) != begin.get("method"):
        begin = {"forget": begin["forget"]} if begin else {}  # its settings are for another method
    given = {**begin, **given}
    words = request_words(malicious, clients, classes, examples)
    refuse("detector", detector, detector is None or detected, "without --detected")
    if detected:
        found = choose_detection(RunDirectory(user_path(run)), detector).found
        if not found.flagged and not words:
            click.echo(f"detected  {found.detector} flagged no client; nothing is forgotten")
            return
        words += [f"{DETECTED}:{found.detector}"] if found.flagged else []
    if words:
        given["forget"] = words
    settings = unlearn_settings(**given)
    with UnlearningDisplay(run) as display:
        result = unlearn_run(run, settings, out=out, data_dir=data_dir, watch=display)
    display.finish(result)
    end_if_failed(result)
    record_profile(result, data_dir)
