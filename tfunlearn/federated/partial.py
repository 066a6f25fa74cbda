"""Rounds that exchange only a subset of the weight entries.

The server sends its partial model, clients return partial updates, and the server applies their
unweighted mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.attacks import Adversary
from tfunlearn.core.lazy import tf
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.engines import Engine, choose_engine
from tfunlearn.federated.gathering import Updates, apply_adversary
from tfunlearn.local_training.client_work import ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.local_training.tracing import TracedWork
from tfunlearn.local_training.weight_order import WeightOrder


class PartialRounds:
    """Run rounds that change only the movable entries T of `work`.

        M[T] <- M[T] + mean_k R_k[T]

    Every client holds the whole model from the start. In a round it receives `M[T]`, float32
    `(entries,)`, and returns `R_k[T]`. All entries outside `T` stay bit-identical.

    Args:
        work: the local training, built with `movable` and `fixed_norms`.
        weights: the model that every client holds, in the order of `model.get_weights()`.
        seed: the run's seed.
        engine: runs the clients; default that of `choose_engine`.
        feature_dtype: dtype of the images.
        on_server: train in this process, on the examples of the only client of each cohort,
            instead of on clients; default False.
        adversary: replaces malicious updates `(n, entries)` by crafted ones; default none.
    """

    def __init__(
        self,
        work: ClientWork,
        weights: Sequence[np.ndarray],
        *,
        seed: int,
        engine: Engine | None = None,
        feature_dtype=np.uint8,
        on_server: bool = False,
        adversary: Adversary | None = None,
    ):
        self._work, self._seed, self._adversary = work, seed, adversary
        model = work.stateless.model
        order, self._shapes = WeightOrder(model), [tuple(w.shape) for w in model.weights]
        start, size = order.flatten(to_vector(weights)), work.trainable_size
        self._entries = order.flatten(np.arange(len(start)))[:size][work.movable]
        engine = choose_engine() if engine is None else engine
        update = _partial_update(work, start[:size], start[size:], feature_dtype)
        self._train = (engine.on_server() if on_server else engine).mapper(update)

    @property
    def entries(self) -> int:
        """Number of exchanged entries."""
        return len(self._entries)

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Run one round; a pure function of its arguments."""
        vector = to_vector(state.weights)
        handed = cohort.tensors(self._work.training, self._seed)
        stack = np.empty((len(handed), self.entries), np.float32)
        finite, losses = np.empty(len(handed), bool), np.empty(len(handed), np.float64)
        for row, result in self._train(vector[self._entries], handed):
            stack[row], finite[row], losses[row] = result
        updates = Updates(cohort.ids, stack, cohort.examples, losses, ()).only(finite)
        updates, crafted = apply_adversary(
            updates, self._adversary, vector[self._entries], cohort.round_number
        )
        loss = None
        if len(updates.ids):
            vector[self._entries] += mean(updates.stack)
            loss = float(np.average(updates.losses, weights=updates.examples))
        return (
            ServerState(from_vector(vector, self._shapes), state.finished + 1),
            RoundReport(loss, updates.dropped, crafted=crafted),
        )


def _partial_update(
    work: ClientWork, trainable: np.ndarray, state: np.ndarray, feature_dtype
) -> TracedWork:
    """Return `(partial, client) -> partial update, whether it is finite, loss`, traced once."""
    places = np.flatnonzero(cast(np.ndarray, work.movable))[:, None].astype(np.int64)

    def update(partial, client):
        start = tf.tensor_scatter_nd_update(tf.constant(trainable), places, partial)
        delta, _, finite, loss = work.update(start, tf.constant(state), client)
        return (
            tf.gather_nd(delta, places),  # pyright: ignore[reportArgumentType]  stub: unsigned only
            finite,
            loss,
        )

    return TracedWork(update, [tf.TensorSpec([len(places)])], work.client_spec(feature_dtype))
