"""Evaluation of a run's model."""

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
    """Test metrics of a run's last finished round.

    Attributes:
        rounds: number of finished rounds.
        planned_rounds: number of rounds in the configuration; for an unlearned run, its own rounds.
        measured: `test_accuracy`, `test_loss`, `attack_success`, `source_error`; None if the test
            set has no example for the metric.
        class_accuracies: accuracy on each class, None for a class without test images.
        class_counts: number of test images of each class.
        method: unlearning method, None for a run of `train`.
        rounds_before: rounds of the federation before this run.
        local: for an unlearned run: local fairness and time to peak, and those of its retrained
            model if there is one.
        missing: why a part of `local` is unknown, else None.
        failed: why the unlearning failed, else None.
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
    """Measure the last finished round of a run on the test set.

    Args:
        run: the run directory.
        data_dir: folder of the data set; default the one in the run's configuration.
        track: wraps the sequence of test batches, to show progress.
        settings: settings of local fairness.

    Raises:
        UserError: there is no run, a file is damaged, or the data set is missing.
    """
    directory, config, state, model = open_run(run, data_dir, reading=True)
    data = load_data(config.data, config.seed, directory.read_data())
    outputs_of = OutputsOf(model)
    outputs = outputs_of(data.test_features, track=track)
    shares = class_accuracies(outputs.argmax(axis=1), data.test_labels, data.classes)
    record = read_record(directory)
    local, missing = {}, None
    if record and not record.failed:
        local, missing = local_study(run, settings, data_dir)
    return RunEvaluation(
        state.finished,
        state.finished if record else config.training.rounds,
        TestMeasures(outputs_of, data, config.attack.on_classes(data.class_numbers())).of(outputs),
        [None if np.isnan(share) else share for share in shares],
        np.bincount(data.test_labels, minlength=data.classes).tolist(),
        record.method if record else None,
        record.rounds_before if record else 0,
        local,
        missing,
        record.failed if record else None,
    )
