"""`tfunlearn train`."""

from __future__ import annotations

import click

from tfunlearn.config.reading import METHOD_FIELDS, run_config
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import refuse, require
from tfunlearn.core.families import settings_for
from tfunlearn.detection import DETECTORS
from tfunlearn.training.train import train as train_run
from tfunlearn.workflows.profile import record_profile
from tfunlearn_cli.chain import STEPS, follow
from tfunlearn_cli.display import TrainingDisplay
from tfunlearn_cli.method_options import Choice, MethodCommand
from tfunlearn_cli.options import (
    allow_code_option,
    config_options,
    merged,
    preset_fields,
    preset_option,
)

CHOICES = {
    field: Choice(family, listed=field not in ("dataset", "model"))
    for field, family in METHOD_FIELDS.items()
}


@click.command(cls=MethodCommand, choices=CHOICES, section="train")
@config_options()
@preset_option
@click.option(
    "--out",
    metavar="DIR",
    help="Run directory; must be new or empty.  [default: "
    "runs/<data>-<model>-<attack>-<rule and defense>-seed<n>]",
)
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="HOST:PORT",
    help="Share the clients "
    "with the tfunlearn worker at this address, may be repeated; turns --gather on.",
)
@click.option(
    "--detect",
    "detector",
    metavar="NAME",
    help="Detect malicious clients by the kept updates after the training, see tfunlearn detect; "
    "keeps all rounds, unless --history is given.",
)
@click.option(
    "--then",
    "last",
    type=click.Choice(STEPS),
    help="With --detect: unlearn the flagged clients; verify it, too; and write a report.",
)
@allow_code_option
def train(config, preset, out, workers, detector, last, **flags):
    """Train a federated model, with attacks and defenses.

    Example: tfunlearn train --attack label-flip --defense flap
    """
    given = merged(config, flags, preset_fields(preset, "train"))
    refuse("then", last, last is None or detector is not None, "without --detect")
    if detector is not None:
        given = {"history": "all", **given}
    settings = run_config(**given)
    _check_use(flags, settings)
    if detector is not None:
        _check_detection(detector, settings)
    with TrainingDisplay(settings) as display:
        run = train_run(settings, out=out, workers=workers, watch=display)
    display.finish(run)
    record_profile(run)
    if detector is not None:
        follow(run.directory.path, detector, last)


def _check_detection(detector: str, settings: RunConfig) -> None:
    """Check, before the training, that a detector can work after it."""
    name = DETECTORS.name_of(detector)
    one, (own,) = DETECTORS.find(name), settings_for([(DETECTORS, name)], {})
    least, rounds = one.least_rounds(own), settings.training.rounds
    word = f"with --detect {detector}"
    require("rounds", rounds, rounds >= least, f"at least {least} {word}")
    history = settings.history.text
    require("history", history, history == "all", f"all {word}")
    held = settings.server_examples
    require("validation_examples", held, held > 0 or not one.needs_judge, f"at least 1 {word}")
    clients = settings.data.clients
    fine = clients is None or clients >= one.least_clients
    require("clients", clients, fine, f"at least {one.least_clients} {word}")


def _check_use(flags: dict, settings: RunConfig) -> None:
    """Reject a given flag that has no effect next to the other settings."""
    for one, own in settings.defense.methods():
        for name, reader in one.idle(own).items():
            refuse(name, flags.get(name), flags.get(name) is None, f"without {reader}")
