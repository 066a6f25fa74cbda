"""Client sampling and the inputs of the sampled clients."""

from __future__ import annotations

import collections
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.seeds import generator, integers
from tfunlearn.federated.client_work import ClientTraining


def participants(present: np.ndarray, count: int, *, seed: int, round_number: int) -> np.ndarray:
    """Return the sorted ids `(count,)` of a round, sampled from `present` without replacement."""
    if count == len(present):
        return present
    rng = generator(seed, "participation", round_number)
    return np.sort(rng.choice(present, count, replace=False))


@dataclass(frozen=True)
class Cohort:
    """The clients of one round, ordered by id.

    Attributes:
        round_number: round, counted from 1.
        ids: client ids, `(n,)`.
        clients: training examples of all clients, poisoned where a data attack is active.
        boosts: factor on each client's update, `(n,)`; 1 for benign clients.
    """

    round_number: int
    ids: np.ndarray
    clients: ClientSet
    boosts: np.ndarray

    @property
    def examples(self) -> np.ndarray:
        """Number of examples of each client, `(n,)`."""
        return self.clients.sizes[self.ids]

    def tensors(self, training: ClientTraining, seed: int) -> list[collections.OrderedDict]:
        """Return the input tensors of each client, as described in `ClientWork`.

        Shuffle orders and the seeds of random layers depend only on the run's seed, the round and
        the client's id.
        """
        handed = []
        for client, boost in zip(self.ids, self.boosts):
            rows = self.clients.rows(client)
            key = (self.round_number, int(client))
            shuffle = generator(seed, "shuffle", *key)
            order = [
                shuffle.permutation(rows.stop - rows.start) for _ in range(training.local_epochs)
            ]
            handed.append(
                collections.OrderedDict(
                    boost=np.float32(boost),
                    id=np.int32(client),
                    images=self.clients.images[rows],
                    labels=self.clients.labels[rows],
                    order=np.concatenate(order).astype(np.int32),
                    seed=integers(seed, "random layers", *key, count=2),
                )
            )
        return handed
