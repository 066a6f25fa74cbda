"""Suggestion of memorization's ratio, from one round on the retain set; nothing is kept."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.local_training.state import ServerState
from tfunlearn.methods.memorization import MEMORIZATION, changes_of
from tfunlearn.methods.settings import unlearn_settings
from tfunlearn.methods.source import open_source
from tfunlearn.report import save_ratio
from tfunlearn.training.engine import engine_of
from tfunlearn.training.rounds import rounds_of
from tfunlearn.unlearning import RatioSuggestion, suggest_ratio
from tfunlearn.unlearning.eligible import eligible_places
from tfunlearn.unlearning.pruning_ratio import RULES, require_knee
from tfunlearn.workflows.unlearn.workflow import task_of


@dataclass(frozen=True)
class RatioStudy:
    """Distribution of the weight changes of a round.

    Attributes:
        sizes: magnitudes of change of the eligible weights, `(N,)`.
        suggestions: one suggestion per rule.
    """

    sizes: np.ndarray
    suggestions: list[RatioSuggestion]


def study_ratio(
    run: str | os.PathLike,
    forget: Sequence[str],
    *,
    saliency: str = "abs_mean_delta",
    include: str = "kernels+bias",
    knee: str | float = "auto",
    data_dir: str | None = None,
    started: Callable[[], None] = lambda: None,
) -> RatioStudy:
    """Run the locating round, and suggest a ratio by each rule; the run is only read.

    Args:
        run: the run directory.
        forget: terms of the request.
        saliency: `"abs_mean_delta"` (default) or `"abs_mean_grad"`.
        include: weights that may be reset, see `eligible_places`.
        knee: magnitude of change to use as the knee; default `"auto"`, the knee of the curve.
        data_dir: folder of the data set; default the one in the run's configuration.
        started: called when everything is read, before the round.

    Raises:
        UserError: there is no run, the request cannot be met, or there are too few changes.
        WorkerError: TFF's worker process died.
    """
    require_knee(knee)
    task = task_of(
        open_source(run, data_dir),
        unlearn_settings(
            method=MEMORIZATION.name,
            forget=list(forget),
            saliency=saliency,
            include=include,
            reference=False,
        ),
    )
    before, model = task.source.state.weights, task.source.model
    started()
    at_work = engine_of(task.source.federation.config).at_work
    with tempfile.TemporaryDirectory() as folder, at_work(pathlib.Path(folder) / "worker.log"):
        engine = rounds_of(task.recovering, model, training=task.training, seed=task.seed)
        after, _ = engine(ServerState(before), task.recovering.cohort(task.source.rounds + 1))
        changes = changes_of(task, before, after.weights)
    sizes = np.concatenate(
        [
            np.abs(changes[place]).reshape(-1)
            for place in eligible_places(before, include, model=model)
        ]
    )
    return RatioStudy(sizes, [suggest_ratio(sizes, method=rule, knee=knee) for rule in RULES])


def draw_ratio(path: str | os.PathLike, study: RatioStudy) -> None:
    """Draw the distribution with the suggestions."""
    save_ratio(path, study.sizes[study.sizes > 0], study.suggestions)
