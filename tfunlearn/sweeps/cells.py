"""Training and unlearning of one cell of a sweep."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

from tfunlearn.core.errors import UserError
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.sweeps.callbacks import SweepCallbacks
from tfunlearn.sweeps.grid import MEASURES, TRAINED, Cell
from tfunlearn.training.resume import resume_training
from tfunlearn.training.train import TrainingRun, train
from tfunlearn.unlearning.stopping import bound_rounds, target_round
from tfunlearn.workflows.unlearn.callbacks import Watch
from tfunlearn.workflows.unlearn.workflow import measure_run, unlearn


def train_cell(folder: pathlib.Path, cell: Cell, watch: SweepCallbacks) -> tuple[list, str, float]:
    """Train the cell's run, unless it is finished already.

    Returns:
        Its metrics, the SHA-256 of its last checkpoint, and the seconds that its rounds took.
    """
    directory = folder / "runs" / cell.training_key
    if _is_whole(directory, cell):
        metrics = RunDirectory(directory).read_metrics()
    else:
        metrics = _train(directory, cell, lambda line: watch.on_round_end(cell, line)).metrics
    lines = [{name: line[name] for name in ("round", "attackers", *TRAINED)} for line in metrics]
    return (
        lines,
        metrics[-1]["checkpoint_sha256"],
        round(sum(line["seconds"] for line in metrics), 3),
    )


def _train(path: pathlib.Path, cell: Cell, on_round: Callable) -> TrainingRun:
    """Train a cell's run; resume it if it was interrupted after its first round."""
    if path.exists():
        try:
            return resume_training(path, data_dir=cell.config.data.data_dir, on_round=on_round)
        except UserError as error:
            if RunDirectory(path).read_metrics():
                raise UserError(f"{error} (remove {path} to run the cell again)")
            shutil.rmtree(path)  # stopped before its first round
    return train(cell.config, out=path, on_round=on_round)


def unlearn_cell(
    folder: pathlib.Path, cell: Cell, watch: SweepCallbacks
) -> tuple[list, str, float]:
    """Unlearn from the cell's run, which is trained first if necessary.

    Returns:
        As `train_cell`. The metrics are a single line, of the unlearned model (or of the trained
        one, if the cell only measures), with the gaps to retraining; its `state` is ok, damaged, or
        failed, which has no figures.
    """
    directory = folder / "runs" / cell.training_key
    train_cell(folder, cell, watch)
    assert cell.unlearning is not None  # else `train_cell` is called alone
    if cell.measures_only:
        values, digest = measure_run(directory, cell.unlearning)
        return [_forgetting_line(values, None)], digest, 0.0
    run = unlearn(
        directory,
        cell.unlearning,
        watch=Watch(
            round=lambda line: watch.on_round_end(cell, line),
            reference_round=lambda line: watch.on_round_end(cell, line),
        ),
    )
    measured, record = run.record.measured, run.record
    if run.failed:  # no unlearning, so that none of its figures is one of an unlearned model
        line = {**dict.fromkeys(MEASURES), "round": 1, "attackers": [], "state": "failed"}
        return [line], record.checkpoint_sha256, record.cost.seconds
    recovered = target_round(
        [
            measured.start["test_accuracy"],
            *(line["test_accuracy"] for line in run.metrics if line["phase"] == "recover"),
        ],
        measured.before["test_accuracy"],
    )
    fraction = record.report.get("fraction")
    line = _forgetting_line(
        measured.after,
        measured.retrained,
        rounds=record.rounds,
        work_seconds=record.cost.work_seconds,
        bound=None if fraction is None else bound_rounds(record.training_rounds, fraction),
        test_recovered=recovered,
        state="damaged" if record.damaged else "ok",
    )
    return [line], record.checkpoint_sha256, record.cost.seconds


def _is_whole(path: pathlib.Path, cell: Cell) -> bool:
    """Return whether a folder holds a finished, undamaged training run."""
    try:
        directory, rounds = RunDirectory(path), cell.config.training.rounds
        return directory.read_state().finished == rounds == len(directory.read_metrics())
    except UserError:
        return False


def _forgetting_line(after: dict, retrained: dict | None, **more) -> dict:
    gaps = {
        "test_gap": "test_accuracy",
        "forget_gap": "forget_accuracy",
        "poisoned_gap": "poisoned_accuracy",
        "attack_gap": "attack_success",
        "source_gap": "source_error",
    }
    line = {**dict.fromkeys(MEASURES), "round": 1, "attackers": [], **after, **more}
    for gap, name in gaps.items():
        if retrained is not None and None not in (after[name], retrained[name]):
            line[gap] = after[name] - retrained[name]
    return line
