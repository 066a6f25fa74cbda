"""`tfunlearn verify`."""

from __future__ import annotations

import click

from tfunlearn.config.reading import fields_of, typed
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.suite import verify as verify_run
from tfunlearn_cli.options import (
    allow_code_option,
    field_options,
    merged,
    preset_fields,
    preset_option,
)
from tfunlearn_cli.verify_display import VerifyDisplay

KNOBS = fields_of(VerifySettings)


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--against",
    multiple=True,
    metavar="RETRAINED",
    help="A run of unlearn --method "
    "retrain of the same request, may be repeated.  [default: as many as --retrains, "
    "trained beside the run if they are not there]",
)
@field_options(KNOBS)
@click.option(
    "--config",
    metavar="FILE",
    help="Read these fields from a .json or .toml file; flags override it.",
)
@preset_option
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@allow_code_option
def verify(run, against, config, preset, data_dir, **knobs):
    """Verify that an unlearned run has forgotten, beside models retrained without it.

    RUN is the folder of an unlearned run. What is found lies in RUN/verification, and `report`
    shows it. Retrained models and shadow federations appear beside the run, and each takes as long
    as its training; if this is stopped, the same command goes on from those that are whole.

    The verdict: forgotten, still remembers, over-forgotten (it avoids what it was to forget),
    damaged (accuracy on what stays is lost), or not shown; fewer than three retrained models give
    none. Exit code 0 says that it was verified, not that it was forgotten.

    Example: tfunlearn verify runs/digits-lenet5-label-flip-flap-seed0-fedup
    """
    settings = VerifySettings(
        **typed(merged(config, knobs, preset_fields(preset, "verify")), KNOBS)
    )
    with VerifyDisplay() as display:
        found = verify_run(
            run,
            settings,
            against=against,
            data_dir=data_dir,
            watch=display.watch(),
            tell=display.tell,
        )
    display.finish(found)
