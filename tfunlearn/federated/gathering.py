"""A round in which the server gathers every client's update as one row of a stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.core.lazy import tff
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.federated.client_work import ClientWork
from tfunlearn.federated.cohort import Cohort
from tfunlearn.federated.learning_process import WeightOrder, client_type
from tfunlearn.federated.state import RoundReport, ServerState

CHUNK_BYTES = 2**28


@dataclass(frozen=True)
class Updates:
    """What the clients of a round sent, finite ones only, in the order of their ids.

    Attributes:
        ids: `(n,)` client ids.
        stack: float32 `(n, d)`, each row in the order of `model.get_weights()`.
        examples: `(n,)`.
        losses: `(n,)` mean training losses.
        dropped: ids of clients whose update was not finite.
    """

    ids: np.ndarray
    stack: np.ndarray
    examples: np.ndarray
    losses: np.ndarray
    dropped: tuple[int, ...]


class GatheringRounds:
    """Runs rounds whose single updates are at hand for attacks, robust rules and unlearning.

    Args:
        work: the local training.
        seed: the run's seed.
        image_dtype: dtype of the clients' images.
        flap: a `Flap` that prunes after each aggregation; default none.
        rule: aggregation `(stack, weights=examples) -> (d,)`; default the weighted mean.
        adversary: function `Updates -> Updates` between client work and aggregation.
    """

    def __init__(
        self, work: ClientWork, *, seed: int, image_dtype=np.uint8, flap=None,
        rule: Callable = mean, adversary: Callable[[Updates], Updates] | None = None,
    ):
        self._work, self._seed, self._flap = work, seed, flap
        self._rule, self._adversary = rule, adversary
        self._order = WeightOrder(work.stateless.model)
        self._shapes = [tuple(w.shape) for w in work.stateless.model.weights]
        self._train = _client_updates(work, image_dtype)

    def gather(self, weights: list[np.ndarray], cohort: Cohort) -> Updates:
        """Returns the updates of a cohort that starts from `weights`."""
        global_model = self._order.to_model_weights(weights)
        trainable, state = to_vector(global_model.trainable), to_vector(global_model.non_trainable)
        handed = cohort.tensors(self._work.training, self._seed)
        size = len(trainable) + len(state)
        stack = np.empty((len(handed), size), np.float32)
        finite, losses = np.empty(len(handed), bool), np.empty(len(handed), np.float64)
        chunk = max(1, CHUNK_BYTES // (4 * size))
        for first in range(0, len(handed), chunk):
            results = self._train(trainable, state, handed[first : first + chunk])
            for row, result in enumerate(results, start=first):
                delta, state_delta, finite[row], losses[row] = result
                self._order.write(stack[row], delta, state_delta)
        return Updates(cohort.ids[finite], stack if finite.all() else stack[finite],
                       cohort.examples[finite], losses[finite],
                       tuple(int(k) for k in cohort.ids[~finite]))

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Runs one round; a pure function of its arguments."""
        updates = self.gather(state.weights, cohort)
        if self._adversary is not None:
            updates = self._adversary(updates)
        weights, loss = state.weights, None
        if len(updates.ids):
            step = from_vector(self._rule(updates.stack, weights=updates.examples), self._shapes)
            weights = [old + new for old, new in zip(weights, step)]
            loss = float(np.average(updates.losses, weights=updates.examples))
        pruned = {}
        if self._flap is not None:
            weights, pruned = self._flap(cohort.round_number, weights)
        return (ServerState(weights, state.finished + 1),
                RoundReport(loss, updates.dropped, pruned))


def _client_updates(work: ClientWork, image_dtype):
    """Returns the TFF computation `(trainable, state, clients) -> update of each client`."""
    traced = work.trace(image_dtype)
    trainable_type = tff.TensorType(np.float32, [work.trainable_size])
    state_type = tff.TensorType(np.float32, [work.state_size])
    one_client = client_type(work, image_dtype)

    @tff.tensorflow.computation(trainable_type, state_type, one_client)
    def update(trainable, state, client):
        return traced(trainable, state, client)

    @tff.federated_computation(
        tff.FederatedType(trainable_type, tff.SERVER), tff.FederatedType(state_type, tff.SERVER),
        tff.FederatedType(one_client, tff.CLIENTS))
    def update_all(trainable, state, clients):
        return tff.federated_map(update, (
            tff.federated_broadcast(trainable), tff.federated_broadcast(state), clients))

    return update_all
