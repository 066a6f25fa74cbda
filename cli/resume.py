"""`tfunlearn resume`."""

from __future__ import annotations

import click

from tfunlearn.core.errors import refuse, require
from tfunlearn.core.files import user_path
from tfunlearn.runs.loading import stored_config
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.sweeps.sweep import is_sweep, read_sweep
from tfunlearn.training.resume import resume_training
from tfunlearn.workflows.profile import record_profile
from tfunlearn.workflows.unlearn.request import is_requested
from tfunlearn.workflows.unlearn.workflow import resume_unlearning
from tfunlearn_cli.display import TrainingDisplay
from tfunlearn_cli.options import allow_code_option, engine_option
from tfunlearn_cli.sweep import run_and_show
from tfunlearn_cli.unlearn_display import UnlearningDisplay, end_if_failed


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="HOST:PORT",
    help="Share the clients of a training with the worker at this address, may be repeated.",
)
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@engine_option
@allow_code_option
def resume(run, workers, data_dir):
    """Continue a stopped run, unlearning or sweep.

    RUN is the folder of `train` or `sweep`, or the new folder of `unlearn`; an unfinished
    unlearning is in a hidden folder next to that name, which can be given too. The remaining rounds
    are bit-identical to those of an uninterrupted run. A finished run is checked: a damaged
    checkpoint or model is restored. The command is refused while another process writes there.

    Example: tfunlearn resume runs/digits-lenet5-label-flip-flap-seed0
    """
    path = user_path(run)
    if is_sweep(path) or is_requested(path):
        refuse("worker", list(workers), not workers, "except with a training")
    if is_sweep(path):
        grid, overrides = read_sweep(path)
        run_and_show(grid, run, {**overrides, **({"data_dir": data_dir} if data_dir else {})})
    elif is_requested(path):
        with UnlearningDisplay(run) as display:
            result = resume_unlearning(run, data_dir=data_dir, watch=display)
        display.finish(result)
        end_if_failed(result)
        record_profile(result, data_dir)
    else:
        _resume_training(run, workers, data_dir)


def _resume_training(run, workers, data_dir) -> None:
    directory = RunDirectory(user_path(run))
    require(
        "run",
        run,
        directory.config.is_file(),
        "the folder of an existing run, unlearning or sweep",
    )
    with TrainingDisplay(stored_config(directory, data_dir)) as display:
        result = resume_training(run, data_dir=data_dir, workers=workers, watch=display)
    display.finish(result)
    record_profile(result)
