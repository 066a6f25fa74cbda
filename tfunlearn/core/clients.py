"""The client set: all clients' examples in two arrays, each client a contiguous slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.features import differing_rows, replace_rows, take_rows
from tfunlearn.core.labels import require_labels


@dataclass(frozen=True)
class ClientSet:
    """Examples of a federation, sorted by client.

    Attributes:
        features: `(N, ...)`, see `features`; `Rows` where they stay on disk.
        labels: `(N,)` int32.
        offsets: `(n + 1,)` int64; client `k` owns rows `offsets[k]:offsets[k + 1]`.
    """

    features: Any
    labels: np.ndarray
    offsets: np.ndarray

    def __post_init__(self):
        labels = require_labels(self.labels, count=len(self.features)).astype(np.int32, copy=False)
        object.__setattr__(self, "labels", labels)

    @classmethod
    def from_partition(
        cls, features: Any, labels: np.ndarray, rows: Sequence[np.ndarray]
    ) -> ClientSet:
        """Return the client set in which client `k` holds the examples `rows[k]`."""
        order = np.concatenate(rows)
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in rows])])
        return cls(
            take_rows(features, order), labels[order].astype(np.int32), offsets.astype(np.int64)
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Number of examples of each client, `(n,)` int64."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """Client id of each example, `(N,)`."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def rows(self, client: int) -> slice:
        """Return the slice of `features` and `labels` that belongs to `client`."""
        return slice(int(self.offsets[client]), int(self.offsets[client + 1]))

    @property
    def present(self) -> np.ndarray:
        """Sorted ids of the clients that hold at least one example."""
        return np.flatnonzero(self.sizes)

    def where(self, kept: np.ndarray) -> ClientSet:
        """Return the examples selected by a mask `(N,)`; ids are kept, clients may become empty."""
        ends = np.concatenate([[0], np.cumsum(kept)])
        return ClientSet(take_rows(self.features, kept), self.labels[kept], ends[self.offsets])

    def with_labels(self, labels: np.ndarray) -> ClientSet:
        """Return the same features with other labels `(N,)`."""
        return ClientSet(self.features, labels, self.offsets)

    def with_examples(self, mask: np.ndarray, features: Any, labels: np.ndarray) -> ClientSet:
        """Return the client set with the examples selected by a mask `(N,)` replaced."""
        new = self.features
        if differing_rows(new[mask], features.astype(new.dtype, copy=False)).any():
            new = replace_rows(new, mask, features)
        own = self.labels.copy()
        own[mask] = labels
        return ClientSet(new, own, self.offsets)

    def class_histogram(self, classes: int) -> np.ndarray:
        """Return the number of examples per client and class, `(n, classes)` int64."""
        return np.stack(
            [np.bincount(self.labels[self.rows(k)], minlength=classes) for k in range(len(self))]
        )
