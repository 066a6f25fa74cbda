"""The server's own training samples, for centralized unlearning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import require
from tfunlearn.core.seeds import generator
from tfunlearn.methods.task import UnlearningTask


@dataclass(frozen=True)
class ServerSamples:
    """The samples that the server holds.

    Attributes:
        examples: a client set of one client, the server.
        forgotten: mask of the samples in the forget set, bool `(n,)`.
        origin: source of the samples, in words.
    """

    examples: ClientSet
    forgotten: np.ndarray
    origin: str


def server_samples(task: UnlearningTask) -> ServerSamples:
    """Return at most `task.own.server_samples` samples, stratified by class and forget set.

    If only classes are forgotten and the run has held samples back at the server, the samples are
    taken from those, without classes of earlier requests; otherwise they are drawn from the
    clients' training data.

    Raises:
        UserError: the server has no sample of the forget set, of a class in it, or of the retain
            set.
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
            "a class of which the server has samples, with mode centralized; take decentralized",
        )
    require(
        "forget",
        " ".join(task.settings.forget)[:80],
        bool(forgotten.any()) and not forgotten.all(),
        "a proper subset of the data that the server has samples of, with mode centralized",
    )
    rows = sample_stratified(
        pool.labels + (pool.labels.max() + 1) * forgotten,
        task.own.server_samples,
        generator(task.seed, "server samples"),
    )
    examples = ClientSet.from_partition(pool.features, pool.labels, [rows])
    return ServerSamples(examples, forgotten[rows], origin)


def sample_stratified(strata: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted rows of a stratified sample: `count` of them, or all if there are fewer.

    Shares are rounded to the largest remainders; each stratum gets at least one row.

    Args:
        strata: stratum of each row, `(N,)` whole numbers.
        count: number of rows to draw.
        rng: generator of the draw.

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
        f"at least {len(names)}: one per class, and one per class to be forgotten",
    )
    exact = sizes * count / len(strata)
    quota = np.maximum(1, np.floor(exact).astype(int))
    while quota.sum() != count:  # strata below one row were rounded up
        step = 1 if quota.sum() < count else -1
        room = quota < sizes if step > 0 else quota > 1
        quota[np.argmax(np.where(room, step * (exact - quota), -np.inf))] += step
    rows = [
        rng.choice(np.flatnonzero(strata == name), number, replace=False)
        for name, number in zip(names, quota)
    ]
    return np.sort(np.concatenate(rows))
