"""Grouped Memorization Evaluation of runs, with local fairness and time to peak of each method."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.evaluation import (
    Fairness,
    GmeReport,
    OutputsOf,
    TimeToPeak,
    checkpoint_scores,
    gme_report,
    label_probabilities,
    memorization_scores,
    rank_correlation,
    subset_scores,
)
from tfunlearn.evaluation.memorization import require_groups
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.workflows.evaluate.control import with_control
from tfunlearn.workflows.evaluate.local import LocalMeasure, peak_of
from tfunlearn.workflows.evaluate.retraining import omitted_clients, pool_training, retrain
from tfunlearn.workflows.evaluate.runs_compared import ComparedRuns, Unlearned, open_compared_runs
from tfunlearn.workflows.evaluate.settings import GmeSettings
from tfunlearn.workflows.unlearn.callbacks import SILENT, RoundsAsReference, UnlearningCallbacks
from tfunlearn.workflows.unlearn.workflow import measures_of


@dataclass(frozen=True)
class Models:
    """Metrics of the models of one row, in addition to the groups.

    Attributes:
        test_accuracy, remain_accuracy: accuracy of each model on the test set and the retain set.
        fairness: local fairness of each model; empty for the original model.
        peaks: time to peak of each model; empty for the original model.
        paths: run directory of each model.
    """

    test_accuracy: list[float | None]
    remain_accuracy: list[float | None]
    fairness: list[Fairness] = field(default_factory=list)
    peaks: list[TimeToPeak] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GmeStudy:
    """Result of an evaluation.

    Attributes:
        request: the unlearning request, as a list of words.
        clients, indices: client id and index within the client of each forgotten example, `(n,)`.
        report: groups and accuracies, see `GmeReport`.
        models: row to further metrics of its models.
        settings: settings of the evaluation.
        correlation: rank correlation of the scores with those by retraining; None if the scores
            are those by retraining.
        overlap: share of the forgotten examples that a remaining client also holds.
    """

    request: list[str]
    clients: np.ndarray
    indices: np.ndarray
    report: GmeReport
    models: dict[str, Models]
    settings: GmeSettings
    correlation: float | None
    overlap: float


def study_memorization(
    runs: Sequence[str | os.PathLike],
    settings: GmeSettings = GmeSettings(),
    *,
    forget: Iterable[str] = (),
    data_dir: str | None = None,
    watch: UnlearningCallbacks = SILENT,
) -> GmeStudy:
    """Evaluate unlearned runs by groups of memorization.

    Retrained models that do not exist next to the run are trained first; an interrupted call
    resumes after the models that are complete.

    Args:
        runs: runs unlearned from one source run with one request, or one trained run.
        settings: number of retrained models, scoring and grading.
        forget: the request, for a trained run only.
        data_dir: directory of the data set; default that of the runs' configuration.
        watch: callbacks: `on_start` is called before each missing training,
            `on_reference_round_end` with each line of its metrics; `track` wraps the measured
            models, to show progress.

    Raises:
        UserError: runs of different sources or requests, fewer than 20 forgotten examples, or a
            setting that is not available for this run.
        WorkerError: TFF's worker process died.
    """
    subjects = open_compared_runs(runs, forget, data_dir)
    task = subjects.task
    require_groups(int(task.forgotten.sum()))
    _check(task, settings)
    silent = RoundsAsReference(watch)
    retrained = [retrain(task, number, silent) for number in range(1, settings.retrains + 1)]
    if settings.control:
        subjects = with_control(subjects, silent)
    graded = _Graded(task)
    every = [graded(model.weights) for model in retrained]
    original = graded(task.source.state.weights)
    probabilities = np.stack([p for p, _ in every])
    scores = None if settings.scores == "retraining" else _scores(task, settings, graded, silent)
    hits = {
        label: np.stack([graded(run.weights)[1] for run in chosen])
        for label, chosen in subjects.methods.items()
    }
    report = gme_report(
        original[0],
        probabilities,
        hits,
        original[1],
        np.stack([h for _, h in every]),
        grading=settings.grading,
        scores=scores,
    )
    correlation = (
        None
        if scores is None
        else rank_correlation(scores, memorization_scores(original[0], probabilities))
    )
    local = LocalMeasure(
        graded.outputs_of, task.remaining.poisoned, settings, task.source.state.weights
    )
    held = task.source.federation.clients
    owners = held.owners
    indices = np.arange(len(held.labels)) - held.offsets[owners]
    return GmeStudy(
        list(task.settings.forget),
        owners[task.forgotten],
        indices[task.forgotten],
        report,
        _models(subjects, retrained, local, watch),
        settings,
        correlation,
        task.overlap,
    )


class _Graded:
    """Compute p(label) and hits `(n,)` of each forgotten example under a model's weights; examples
    are used as held during the attack, poisoned ones included."""

    def __init__(self, task: UnlearningTask):
        held = task.source.federation.poisoned
        self._images, self._labels = held.features[task.forgotten], held.labels[task.forgotten]
        self.outputs_of = OutputsOf(task.source.model)
        self._from_logits = not gives_probabilities(task.source.model)

    def __call__(self, weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        outputs = self.outputs_of(self._images, weights)
        return (
            label_probabilities(outputs, self._labels, from_logits=self._from_logits),
            outputs.argmax(axis=1) == self._labels,
        )


def _check(task: UnlearningTask, settings: GmeSettings) -> None:
    """Raise a `UserError` if the scores are not available for this run."""
    if settings.scores == "checkpoints":
        kept = len(task.source.history.rounds)
        require(
            "scores",
            settings.scores,
            kept >= 2,
            "retraining or subsets, since the run has "
            f"kept {kept} of its rounds; train with --history all or every=K",
        )
    if settings.scores == "subsets":
        require(
            "scores",
            settings.scores,
            not task.source.requests
            and len(task.flagged) > 0
            and int(task.source.federation.clients.sizes[task.flagged].sum())
            == int(task.forgotten.sum()),
            "retraining or checkpoints; subsets are for whole clients of a trained run",
        )
        times = np.bincount(
            np.concatenate(_hands(task, settings)), minlength=len(task.source.federation.clients)
        )[task.flagged]
        require(
            "pool",
            settings.pool,
            bool(((times > 0) & (times < cast(int, settings.pool))).all()),
            "large enough that each client to be forgotten is left out of some trainings and part "
            f"of others; {_omit(settings, task.source.federation.clients.present)} clients are "
            "left out of each",
        )


def _omit(settings: GmeSettings, clients: np.ndarray) -> int:
    return settings.omitted or max(1, len(clients) // 4)


def _hands(task: UnlearningTask, settings: GmeSettings) -> list[np.ndarray]:
    """Return the clients left out by each training of the pool."""
    federation = task.source.federation
    clients = federation.clients.present
    return omitted_clients(
        clients,
        pool=cast(int, settings.pool),
        count=_omit(settings, clients),
        seed=federation.seed,
    )


def _scores(
    task: UnlearningTask, settings: GmeSettings, graded: _Graded, watch: UnlearningCallbacks
) -> np.ndarray:
    """Return scores that are independent of the retrained models, `(n,)`."""
    if settings.scores == "checkpoints":
        return checkpoint_scores(
            np.stack(
                [
                    graded(task.source.history.read(number).weights)[0]
                    for number in task.track(task.source.history.rounds)
                ]
            )
        )
    owners = task.source.federation.clients.owners[task.forgotten]
    values, held = [], []
    for number, omitted in enumerate(_hands(task, settings), start=1):
        values.append(graded(pool_training(task, omitted, number, watch).weights)[0])
        held.append(~np.isin(owners, omitted))
    return subset_scores(np.stack(values), np.stack(held))


def _models(
    subjects: ComparedRuns,
    retrained: Sequence[Unlearned],
    local: LocalMeasure,
    watch: UnlearningCallbacks,
) -> dict[str, Models]:
    """Return the further metrics of the models of each row."""
    task = subjects.task
    own = measures_of(task)(task.source.state.weights)
    found = {
        "original": Models(
            [own["test_accuracy"]],
            [own["remain_accuracy"]],
            paths=[str(task.source.directory.path)],
        )
    }
    for label, runs in {**subjects.methods, "retrained": retrained}.items():
        after = [run.record.measured.after for run in runs]
        found[label] = Models(
            [m["test_accuracy"] for m in after],
            [m["remain_accuracy"] for m in after],
            [local(run.weights) for run in watch.track(list(runs))],
            [peak_of(run.record, run.directory.read_metrics()) for run in runs],
            [str(run.directory.path) for run in runs],
        )
    return found
