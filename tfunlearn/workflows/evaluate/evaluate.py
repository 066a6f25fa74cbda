"""Measuring the model of a run that lies on disk."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.evaluation import OutputsOf, class_accuracies
from tfunlearn.runs.loading import open_run
from tfunlearn.runs.run_directory import read_record
from tfunlearn.training.federation import load_data
from tfunlearn.training.measures import TestMeasures
from tfunlearn.workflows.evaluate.local import LocalStudy, local_study
from tfunlearn.workflows.evaluate.settings import GmeSettings


@dataclass(frozen=True)
class RunEvaluation:
    """The test metrics of a run's last finished round.

    Attributes:
        rounds: finished rounds.
        planned_rounds: rounds that the configuration asks for; of an unlearned run, its own.
        method: how it was unlearned, None for a run of `train`.
        rounds_before: rounds of the federation before it.
        measured: `test_accuracy`, `test_loss`, `attack_success`, `source_error`; None where the
            test set has no example to measure it on.
        class_accuracies: accuracy on each class, None without test images.
        class_counts: test images of each class.
        local: of an unlearned run: what it did to the remaining clients and how soon it was over;
            of its retraining too, if that was compared with.
        missing: why `local` is not known, else None.
        failed: why an unlearning failed, else None.
    """

    rounds: int
    planned_rounds: int
    measured: dict[str, float | None]
    class_accuracies: list[float | None]
    class_counts: list[int]
    method: str | None = None
    rounds_before: int = 0
    local: dict[str, LocalStudy] = dataclasses.field(default_factory=dict)
    missing: str | None = None
    failed: str | None = None


def evaluate(
    run: str | os.PathLike,
    *,
    data_dir: str | None = None,
    track: Callable[[Sequence], Iterable] = iter,
    settings: GmeSettings = GmeSettings(),
) -> RunEvaluation:
    """Measures the last finished round of a run on the test set.

    Args:
        run: the run directory.
        data_dir: where the data set lies, if not where the run's configuration says.
        track: wraps the sequence of test batches, to show progress.
        settings: how local fairness is measured.

    Raises:
        UserError: no run there, a damaged file, or no data set.
    """
    directory, config, state, model = open_run(run, data_dir)
    data = load_data(config.data, config.seed)
    outputs_of = OutputsOf(model)
    outputs = outputs_of(data.test_images, track=track)
    shares = class_accuracies(outputs.argmax(axis=1), data.test_labels, data.classes)
    record = read_record(directory)
    local, missing = {}, None
    if record and not record.failed:
        local, missing = local_study(run, settings, data_dir)
    return RunEvaluation(
        state.finished,
        state.finished if record else config.training.rounds,
        TestMeasures(outputs_of, data, config.attack).of(outputs),
        [None if np.isnan(share) else share for share in shares],
        np.bincount(data.test_labels, minlength=data.classes).tolist(),
        record.method if record else None,
        record.rounds_before if record else 0,
        local,
        missing,
        record.failed if record else None,
    )
