"""Models that never saw the examples: retrained ones, and a pool of trainings without some clients.

Each lies beside the run as a run of its own, found again by its content hash, and is shared by
every evaluation that needs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.seeds import generator, integers
from tfunlearn.workflows.evaluate.runs_compared import Unlearned
from tfunlearn.runs.run_directory import read_notes
from tfunlearn.methods.settings import UnlearnSettings, reference_method
from tfunlearn.workflows.unlearn.workflow import Watch
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.workflows.unlearn.workflow import task_of, run_task


def retrain(task: UnlearningTask, number: int, watch: Watch = Watch()) -> Unlearned:
    """Returns the `number`-th retraining, counted from 1: new initial weights, new shuffles, other
    clients drawn.

    Its rounds are not kept, whatever the run's history says. Where the run began with a model file,
    so does every retraining, and only shuffles and clients tell them apart.
    """
    seed = int(integers(task.source.federation.config.seed, "retraining", number)[0])
    return _trained(dataclasses.replace(
        task, seed=seed, settings=dataclasses.replace(task.settings, unlearn_seed=seed)), watch)


def omitted_clients(clients: np.ndarray, *, pool: int, count: int, seed: int) -> list[np.ndarray]:
    """Returns whom each training of a pool leaves out, `count` clients each.

    Those who were left out least so far come first, at random among equals, so that everybody is
    left out equally often, up to one.

    Args:
        clients: ids `(n,)`.
        pool: number of trainings.
        count: clients that each leaves out, less than n.
        seed: the run's seed.
    """
    require("omitted", count, 1 <= count < len(clients), f"1 to {len(clients) - 1}")
    rng, times, dealt = generator(seed, "pool"), np.zeros(len(clients), int), []
    for _ in range(pool):
        order = rng.permutation(len(clients))
        chosen = order[np.argsort(times[order], kind="stable")[:count]]
        times[chosen] += 1
        dealt.append(np.sort(clients[chosen]))
    return dealt


def pool_training(task: UnlearningTask, omitted: Sequence[int], number: int, watch: Watch) -> Unlearned:
    """Returns the `number`-th training of a pool, without the clients `omitted`."""
    seed = int(integers(task.source.federation.config.seed, "pool training", number)[0])
    return _trained(dataclasses.replace(task_of(task.source, UnlearnSettings(
        reference_method(), tuple(f"client:{k}" for k in omitted), unlearn_seed=seed, reference=False)),
        track=task.track), watch)


def _trained(task: UnlearningTask, watch: Watch) -> Unlearned:
    directory, _ = run_task(dataclasses.replace(task, keeps=False), None, "weights_key", watch)
    return Unlearned(directory, read_notes(directory), directory.read_state().weights)
