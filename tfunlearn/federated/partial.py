"""Rounds that exchange only a subset of the weight entries.

The server sends its partial model, clients return partial updates, and the server applies their
unweighted mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.attacks import Adversary
from tfunlearn.core.lazy import tf, tff
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.federated.client_work import ClientWork
from tfunlearn.federated.cohort import Cohort
from tfunlearn.federated.gathering import Updates, apply_adversary
from tfunlearn.federated.learning_process import WeightOrder, client_type
from tfunlearn.federated.state import RoundReport, ServerState


class PartialRounds:
    """Run rounds that change only the movable entries T of `work`.

        M[T] <- M[T] + mean_k R_k[T]

    Every client holds the whole model from the start. In a round it receives `M[T]`, float32
    `(entries,)`, and returns `R_k[T]`. All entries outside `T` stay bit-identical.

    Args:
        work: the local training, built with `movable` and `fixed_norms`.
        weights: the model that every client holds, in the order of `model.get_weights()`.
        seed: the run's seed.
        image_dtype: dtype of the images.
        on_server: train in this process, on the examples of the only client of each cohort,
            instead of on clients through TFF; default False.
        adversary: replaces malicious updates `(n, entries)` by crafted ones; default none.
    """

    def __init__(
        self,
        work: ClientWork,
        weights: Sequence[np.ndarray],
        *,
        seed: int,
        image_dtype=np.uint8,
        on_server: bool = False,
        adversary: Adversary | None = None,
    ):
        self._work, self._seed, self._adversary = work, seed, adversary
        model = work.stateless.model
        order, self._shapes = WeightOrder(model), [tuple(w.shape) for w in model.weights]
        start, size = order.flatten(to_vector(weights)), work.trainable_size
        self._entries = order.flatten(np.arange(len(start)))[:size][work.movable]
        update = _partial_update(work, start[:size], start[size:], image_dtype)
        self._train = (
            _here(update)
            if on_server
            else _at_clients(update, len(self._entries), client_type(work, image_dtype))
        )

    @property
    def entries(self) -> int:
        """Number of exchanged entries."""
        return len(self._entries)

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Run one round; a pure function of its arguments."""
        vector = to_vector(state.weights)
        handed = cohort.tensors(self._work.training, self._seed)
        results = self._train(vector[self._entries], handed)
        updates = Updates(
            cohort.ids,
            np.stack([np.asarray(delta) for delta, *_ in results]),
            cohort.examples,
            np.array([float(loss) for *_, loss in results]),
            (),
        )
        updates = updates.only(np.array([bool(finite) for _, finite, _ in results]))
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


def _partial_update(work: ClientWork, trainable: np.ndarray, state: np.ndarray, image_dtype):
    """Return `(partial, client) -> partial update, whether it is finite, loss`, traced once."""
    places = np.flatnonzero(cast(np.ndarray, work.movable))[:, None].astype(np.int64)
    spec = work.client_spec(image_dtype)

    def update(partial, *values):
        client = dict(zip(spec, values))
        start = tf.tensor_scatter_nd_update(tf.constant(trainable), places, partial)
        delta, _, finite, loss = work.update(start, tf.constant(state), client)
        return (
            tf.gather_nd(delta, places),  # pyright: ignore[reportArgumentType]  stub: unsigned only
            finite,
            loss,
        )

    traced = tf.function(update, autograph=False).get_concrete_function(
        tf.TensorSpec([len(places)]), *spec.values()
    )
    return lambda partial, client: traced(partial, *(client[name] for name in spec))


def _here(update: Callable) -> Callable:
    """Return `(partial, clients) -> results`, computed in this process."""
    return lambda partial, clients: [
        update(tf.constant(partial), {name: tf.constant(value) for name, value in client.items()})
        for client in clients
    ]


def _at_clients(update: Callable, entries: int, one_client) -> Callable:
    """Return `(partial, clients) -> results` as a TFF computation."""
    partial_type = tff.TensorType(np.float32, [entries])

    @tff.tensorflow.computation(partial_type, one_client)
    def work_of_one(partial, client):
        return update(partial, client)

    @tff.federated_computation(
        tff.FederatedType(partial_type, tff.SERVER), tff.FederatedType(one_client, tff.CLIENTS)
    )
    def work_of_all(partial, clients):
        return tff.federated_map(work_of_one, (tff.federated_broadcast(partial), clients))

    return work_of_all
