"""`tfunlearn verify`."""

from __future__ import annotations

import click

from tfunlearn.config.reading import check_types, fields_of
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.suite import verify as verify_run
from tfunlearn_cli.options import (
    allow_code_option,
    engine_option,
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
    "retrain with the same request, may be repeated.  [default: as many as --retrains, "
    "trained next to the run if missing]",
)
@field_options(KNOBS)
@click.option(
    "--config",
    metavar="FILE",
    help="Read these fields from a .json or .toml file; flags override it.",
)
@preset_option
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@engine_option
@allow_code_option
def verify(run, against, config, preset, data_dir, **knobs):
    """Verify that an unlearned run has forgotten, against retrained models.

    RUN is the folder of an unlearned run. The results are written to RUN/verification, and `report`
    shows them. Retrained models and shadow federations are stored next to the run, and each takes
    as long as its training; if stopped, the same command continues after the finished ones.

    The verdict: forgotten, still remembers, over-forgotten (the model avoids the forget set),
    damaged (accuracy on the retain set is lost), or not shown; with fewer than three retrained
    models there is no verdict. Exit code 0 means that the run was verified, not that it has
    forgotten.

    Example: tfunlearn verify runs/digits-lenet5-label-flip-flap-seed0-fedup
    """
    settings = VerifySettings(
        **check_types(merged(config, knobs, preset_fields(preset, "verify")), KNOBS)
    )
    with VerifyDisplay() as display:
        found = verify_run(
            run,
            settings,
            against=against,
            data_dir=data_dir,
            watch=display,
        )
    display.finish(found)
