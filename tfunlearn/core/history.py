"""What a run keeps of its rounds, so that clients can be forgotten later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.vectors import sizes_of

ALLOWED = "none, last, all, or every=K with a whole number K >= 1"


@dataclass(frozen=True)
class HistoryPolicy:
    """Which rounds are kept.

    Attributes:
        text: `"none"`, `"last"` (the newest round), `"all"`, or `"every=K"` (rounds 1, 1 + K,
            1 + 2K, ... and the newest).
        period: rounds from one that stays to the next; None where none stays.
    """

    text: str
    period: int | None

    @classmethod
    def parse(cls, text: str) -> HistoryPolicy:
        """Reads the text.

        Raises:
            UserError: it is none of the four forms.
        """
        periods = {"none": None, "last": None, "all": 1}
        if text in periods:
            return cls(text, periods[text])
        match = re.fullmatch(r"every=(\d{1,9})", text)
        if match is None or int(match[1]) < 1:
            raise UserError(f"history: {text!r} is not allowed; allowed is {ALLOWED}")
        return cls(text, int(match[1]))

    @property
    def keeps(self) -> bool:
        """Whether any round is kept."""
        return self.text != "none"

    def stays(self, round_number: int) -> bool:
        """Tells whether a round is kept for good, not only until the next one."""
        return self.period is not None and (round_number - 1) % self.period == 0


@dataclass(frozen=True)
class HistoryRound:
    """What the server received in one round, finite updates only.

    Attributes:
        round_number: counted from 1.
        weights: the global model that the clients started from, in the order of `get_weights()`.
        ids: `(n,)` client ids.
        updates: float32 `(n, d)`, each row in the order of `get_weights()`.
        examples: `(n,)`.
    """

    round_number: int
    weights: list[np.ndarray]
    ids: np.ndarray
    updates: np.ndarray
    examples: np.ndarray

    def local_models(self) -> list[LocalModel]:
        """Returns what each client had after its training, in the order of `ids`."""
        return [LocalModel(self.weights, update) for update in self.updates]


class LocalModel(Sequence):
    """The weights of a client, an array at a time: the global array plus the client's update.

    Args:
        weights: the global model.
        update: `(d,)`.
    """

    def __init__(self, weights: list[np.ndarray], update: np.ndarray):
        self._weights, self._update = weights, update
        ends = np.cumsum([0, *sizes_of([w.shape for w in weights])])
        self._slices = [slice(first, last) for first, last in zip(ends[:-1], ends[1:])]

    def __len__(self) -> int:
        return len(self._weights)

    def __getitem__(self, place: int) -> np.ndarray:
        weight = self._weights[place]
        return weight + self._update[self._slices[place]].reshape(weight.shape)
