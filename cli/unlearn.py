"""`tfunlearn unlearn`."""

from __future__ import annotations

import click

from tfunlearn.core.errors import require
from tfunlearn.core.requests import read_examples
from tfunlearn.experiment.config_reading import fields_of
from tfunlearn.experiment.unlearning import UnlearnSettings, unlearn as unlearn_run
from tfunlearn.experiment.unlearning import unlearn_settings
from tfunlearn_cli.options import field_options, merged, preset_fields, preset_option
from tfunlearn_cli.unlearn_display import UnlearningDisplay

KNOBS = {name: field for name, field in fields_of(UnlearnSettings).items() if name != "forget"}


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--malicious", is_flag=True, help="Forget all clients that attacked.  [default, "
              "unless something else is named]")
@click.option("--client", "clients", multiple=True, type=click.IntRange(min=0), metavar="ID",
              help="Forget a client, may be repeated.")
@click.option("--class", "classes", multiple=True, type=click.IntRange(min=0), metavar="LABEL",
              help="Forget a class at every client, may be repeated.")
@click.option("--examples", metavar="PAIRS|FILE", help="Forget examples: client:index,... with "
              "indices from 0, or a file with one client:index a line.")
@field_options(KNOBS)
@click.option("--config", metavar="FILE", help="Read these fields from a .json or .toml file; "
              "flags override it.")
@preset_option
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@click.option("--out", metavar="DIR", help="New run directory.  [default: <RUN>-<method>]")
def unlearn(run, malicious, clients, classes, examples, config, preset, data_dir, out, **knobs):
    """Forget clients, classes or examples of a run, and compare with retraining.

    RUN is the folder of a run, of `train` or of an earlier `unlearn`; it stays as it is.

    Example: tfunlearn unlearn runs/digits-lenet5-label-flip-flap-seed0 --method fedup
    """
    begin, given = preset_fields(preset, "unlearn"), merged(config, knobs)
    if given.get("method", begin.get("method")) != begin.get("method"):
        begin = {"forget": begin["forget"]} if begin else {}  # its knobs are the other method's
    given = {**begin, **given}
    words = [*(["malicious"] if malicious else []), *(f"client:{k}" for k in clients),
             *(f"class:{c}" for c in classes)]
    if examples is not None:
        require("examples", examples, examples != "", "client:index,... or a file")
        words += read_examples(examples)
    if words:
        given["forget"] = words
    settings = unlearn_settings(**given)
    with UnlearningDisplay(run) as display:
        result = unlearn_run(run, settings, out=out, data_dir=data_dir, watch=display.watch())
    display.finish(result)
