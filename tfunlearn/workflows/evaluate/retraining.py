"""Models that never saw the forget set: retrained models, and a pool trained without some clients.

Each model is stored as a run of its own next to the source run, identified by its content hash, and
shared by all evaluations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.seeds import generator, integers
from tfunlearn.methods.settings import UnlearnSettings, reference_method
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.run_directory import unlearning_record
from tfunlearn.workflows.evaluate.runs_compared import Unlearned
from tfunlearn.workflows.unlearn.callbacks import SILENT, UnlearningCallbacks, Watch
from tfunlearn.workflows.unlearn.workflow import run_task, task_of


def retrain(task: UnlearningTask, number: int, watch: UnlearningCallbacks = SILENT) -> Unlearned:
    """Return the `number`-th retrained model, counted from 1, trained now if it does not exist.

    Initial weights, shuffles and client sampling depend on the number. The history of its rounds is
    not kept, regardless of the run's settings. If the run started from a model file, so does every
    retraining, and only shuffles and client sampling differ.
    """
    seed = int(integers(task.source.federation.seed, "retraining", number)[0])
    return _train(
        dataclasses.replace(
            task, seed=seed, settings=dataclasses.replace(task.settings, unlearn_seed=seed)
        ),
        watch,
    )


def omitted_clients(clients: np.ndarray, *, pool: int, count: int, seed: int) -> list[np.ndarray]:
    """Return the clients left out by each training of a pool, `count` ids each.

    The clients left out least often so far are selected first, with random ties, so that the
    numbers of times that clients are left out differ by at most one.

    Args:
        clients: client ids `(n,)`.
        pool: number of trainings.
        count: number of clients left out by each training, 1 to n - 1.
        seed: seed of the run.

    Raises:
        UserError: `count` out of range.
    """
    require("omitted", count, 1 <= count < len(clients), f"from 1 to {len(clients) - 1}")
    rng, times, sampled = generator(seed, "pool"), np.zeros(len(clients), int), []
    for _ in range(pool):
        order = rng.permutation(len(clients))
        chosen = order[np.argsort(times[order], kind="stable")[:count]]
        times[chosen] += 1
        sampled.append(np.sort(clients[chosen]))
    return sampled


def pool_training(
    task: UnlearningTask,
    omitted: Sequence[int] | np.ndarray,
    number: int,
    watch: UnlearningCallbacks,
) -> Unlearned:
    """Return the `number`-th model of a pool, trained without the clients `omitted`."""
    seed = int(integers(task.source.federation.seed, "pool training", number)[0])
    return _train(
        dataclasses.replace(
            task_of(
                task.source,
                UnlearnSettings(
                    reference_method(),
                    tuple(f"client:{k}" for k in omitted),
                    unlearn_seed=seed,
                    reference=False,
                ),
            ),
            watch=Watch(track=task.track),
        ),
        watch,
    )


def _train(task: UnlearningTask, watch: UnlearningCallbacks) -> Unlearned:
    directory, _ = run_task(dataclasses.replace(task, keeps=False), None, "weights_key", watch)
    return Unlearned(directory, unlearning_record(directory), directory.read_state().weights)
