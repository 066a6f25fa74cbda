"""Local fairness and time to peak of unlearned runs."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.evaluation import (
    Fairness,
    OutputsOf,
    TimeToPeak,
    cross_entropies,
    local_fairness,
    time_to_peak,
)
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record
from tfunlearn.workflows.evaluate.runs_compared import open_compared_runs
from tfunlearn.workflows.evaluate.settings import GmeSettings

COSTS = ("work_seconds", "client_steps")


@dataclass(frozen=True)
class LocalStudy:
    """Local fairness and time to peak of one run.

    Attributes:
        fairness: fairness of the remaining clients' changes relative to the model before
            unlearning.
        peak: time until test accuracy is close to its highest value.
    """

    fairness: Fairness
    peak: TimeToPeak


class LocalMeasure:
    """Measure local fairness of a model on each remaining client's own training data.

    Args:
        outputs_of: computes the outputs of a model.
        held: training data of the remaining clients.
        settings: metric of each client, and kind of deviation.
        before: weights before unlearning.
    """

    def __init__(
        self,
        outputs_of: OutputsOf,
        held: ClientSet,
        settings: GmeSettings,
        before: Sequence[np.ndarray],
    ):
        self._outputs_of, self._held, self._settings = outputs_of, held, settings
        self._before = self._of(before)

    def __call__(self, weights: Sequence[np.ndarray]) -> Fairness:
        """Return the fairness of the changes from the model before unlearning to this model."""
        return local_fairness(self._before, self._of(weights), kind=self._settings.fairness)

    def _of(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        """Return the metric of each remaining client, `(n,)`."""
        held, labels = self._held, self._held.labels
        outputs = self._outputs_of(held.features, weights)
        values = (outputs.argmax(axis=1) == labels).astype(np.float64)
        if self._settings.fairness_metric == "loss":
            values = cross_entropies(
                outputs, labels, from_logits=not gives_probabilities(self._outputs_of.model)
            )
        return np.array([values[held.rows(client)].mean() for client in held.present])


def peak_of(record: UnlearningRecord, lines: Sequence[dict]) -> TimeToPeak:
    """Return the time to peak of an unlearned run, from its record and its metrics.

    The accuracy curve consists of the rounds that start from an unlearned model. Waiting rounds and
    rounds that still unlearn count as rounds and as cost, but not for the peak. Without any round
    of recovery, the curve is the accuracy of the final model. Costs missing in any line are
    omitted.

    Args:
        record: content of the run's `unlearning.json`.
        lines: lines of the run's `metrics.jsonl`.

    Raises:
        UserError: a line without the required numbers.
    """
    _check_lines(lines)
    waiting = sum(line["phase"] == "wait" for line in lines)
    first = waiting + record.settles_after
    curve = lines[first:]
    known = [name for name in COSTS if all(name in line for line in lines)]
    costs = {name: [line[name] for line in curve] for name in known}
    before = {name: max(0.0, getattr(record.cost, name) - sum(costs[name])) for name in known}
    found = time_to_peak(
        [line["test_accuracy"] for line in curve],
        costs,
        before=before,
        start=None if curve else record.measured.after["test_accuracy"],
    )
    return dataclasses.replace(found, rounds=found.rounds + first)


def _check_lines(lines: Sequence[dict]) -> None:
    """Raise a `UserError` unless every line has a phase and finite numbers for the time to peak."""
    for line in lines:
        values = [line.get("test_accuracy"), *(line[name] for name in COSTS if name in line)]
        whole = isinstance(line.get("phase"), str) and all(
            isinstance(n, numbers.Real) and math.isfinite(n) for n in values
        )
        require(
            "run",
            f"the line of round {line['round']} of metrics.jsonl",
            whole,
            "a line with phase and numbers, as it was written",
        )


def local_study(
    run: str | os.PathLike, settings: GmeSettings = GmeSettings(), data_dir: str | None = None
) -> tuple[dict[str, LocalStudy], str | None]:
    """Return local fairness and time to peak of an unlearned run and of its retrained reference.

    Args:
        run: the unlearned run.
        settings: how fairness is measured.
        data_dir: directory of the data set; default that of the run's configuration.

    Returns:
        Method name, or `retrained` for the reference, to `LocalStudy`; and the reason why a result
        is missing, or None.
    """
    try:
        subjects = open_compared_runs([run], data_dir=data_dir)
    except UserError as error:
        return {}, f"this run: {error}"
    task, own = subjects.task, next(iter(subjects.methods.values()))[0]
    measure = LocalMeasure(
        OutputsOf(task.source.model), task.remaining.poisoned, settings, task.source.state.weights
    )
    runs: dict[str, tuple[RunDirectory, UnlearningRecord | None]] = {
        own.record.method: (own.directory, own.record)
    }
    missing = None
    if own.record.reference:
        reference = RunDirectory(pathlib.Path(own.record.reference))
        runs["retrained"] = (reference, None)
    found = {}
    for title, (directory, record) in runs.items():
        try:
            record = record or unlearning_record(directory)
            found[title] = LocalStudy(
                measure(directory.read_state().weights), peak_of(record, directory.read_metrics())
            )
        except UserError as error:
            missing = f"{title}: {error}"
    return found, missing
