"""The samples that the server trains on by itself, for centralized unlearning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import require
from tfunlearn.core.seeds import generator
from tfunlearn.methods.task import UnlearningTask


@dataclass(frozen=True)
class ServerSamples:
    """What the server holds.

    Attributes:
        examples: a client set of one client, the server.
        forgotten: which of them are to be forgotten, bool `(n,)`.
        origin: where they come from, in words.
    """

    examples: ClientSet
    forgotten: np.ndarray
    origin: str


def server_samples(task: UnlearningTask) -> ServerSamples:
    """Returns at most `settings.server_samples` samples, each class with its natural share.

    They are those that the run has held back at the server, without classes that were forgotten
    before; if it has none, or clients or single examples are to be forgotten, they are drawn from
    what the clients hold.

    Raises:
        UserError: the server has no sample of what is to be forgotten, or of what remains.
    """
    federation, classes = task.source.remaining, task.forgotten_classes
    held_back = federation.server_examples
    if held_back is not None and task.classes_only:
        pool = held_back.where(~np.isin(held_back.labels, task.earlier_classes))
        forgotten, true = np.isin(pool.labels, classes), pool.labels
        origin = "held back by the server"
    else:
        pool, forgotten = federation.held(task.source.rounds), task.forgotten_here
        true, origin = federation.clients.labels, "drawn from the clients' training data"
    for label in classes:
        require(
            "class",
            label,
            bool((forgotten & (true == label)).any()),
            "a class of which the server has samples, for mode centralized; take decentralized",
        )
    require(
        "forget",
        " ".join(task.settings.forget)[:80],
        bool(forgotten.any()) and not forgotten.all(),
        "a part of what the server has samples of, for mode centralized",
    )
    rows = stratified(
        pool.labels + (pool.labels.max() + 1) * forgotten,
        task.own.server_samples,
        generator(task.seed, "server samples"),
    )
    examples = ClientSet.from_partition(pool.images, pool.labels, [rows])
    return ServerSamples(examples, forgotten[rows], origin)


def stratified(strata: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns sorted rows, `count` of them or all, each stratum with its natural share.

    Shares are rounded to the largest remainders; each stratum gets at least one row.

    Args:
        strata: stratum of each row, `(N,)` whole numbers.
        count: how many rows.
        rng: draws them.

    Raises:
        UserError: there are more strata than rows to draw.
    """
    if count >= len(strata):
        return np.arange(len(strata))
    names, sizes = np.unique(strata, return_counts=True)
    require(
        "server_samples",
        count,
        count >= len(names),
        f"at least {len(names)}: one of each class, and of each to be forgotten",
    )
    exact = sizes * count / len(strata)
    quota = np.maximum(1, np.floor(exact).astype(int))
    while quota.sum() != count:  # a stratum below one has taken from the others
        step = 1 if quota.sum() < count else -1
        room = quota < sizes if step > 0 else quota > 1
        quota[np.argmax(np.where(room, step * (exact - quota), -np.inf))] += step
    rows = [
        rng.choice(np.flatnonzero(strata == name), number, replace=False)
        for name, number in zip(names, quota)
    ]
    return np.sort(np.concatenate(rows))
