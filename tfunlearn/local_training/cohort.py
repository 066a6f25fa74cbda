"""Client sampling and the inputs of the sampled clients."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.features import client_entries
from tfunlearn.core.seeds import generator, integers
from tfunlearn.local_training.client_work import ClientTraining


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

    def tensors(self, training: ClientTraining, seed: int) -> ClientTensors:
        """Return the input tensors of each client, as described in `ClientWork`.

        Shuffle orders and the seeds of random layers depend only on the run's seed, the round and
        the client's id.
        """
        return ClientTensors(self, training, seed)


class ClientTensors(Sequence[Mapping[str, Any]]):
    """The input tensors of a cohort's clients, made when they are read; see `Cohort.tensors`."""

    def __init__(self, cohort: Cohort, training: ClientTraining, seed: int):
        self._cohort, self._training, self._seed = cohort, training, seed

    def __len__(self) -> int:
        return len(self._cohort.ids)

    def __getitem__(self, place):
        """Return the tensors of one client, or a list of those of several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        client = int(self._cohort.ids[place])
        clients, rows = self._cohort.clients, self._cohort.clients.rows(client)
        key = (self._cohort.round_number, client)
        shuffle = generator(self._seed, "shuffle", *key)
        order = [
            shuffle.permutation(rows.stop - rows.start) for _ in range(self._training.local_epochs)
        ]
        given = dict(
            boost=np.float32(self._cohort.boosts[place]),
            id=np.int32(client),
            **client_entries(clients.features[rows]),
            labels=clients.labels[rows],
            order=np.concatenate(order).astype(np.int32),
            seed=integers(self._seed, "random layers", *key, count=2),
        )
        return collections.OrderedDict(sorted(given.items()))
