"""Round history of a run, stored so that clients can be unlearned later."""

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
    """Policy for storing the rounds of a run.

    Attributes:
        text: `"none"`, `"last"` (the newest round), `"all"`, or `"every=K"` (rounds 1, 1 + K,
            1 + 2K, ... and the newest).
        period: number of rounds between permanently stored rounds; None if no round is stored
            permanently.
    """

    text: str
    period: int | None

    @classmethod
    def parse(cls, text: str) -> HistoryPolicy:
        """Parse a policy from text.

        Raises:
            UserError: the text has none of the four forms.
        """
        periods = {"none": None, "last": None, "all": 1}
        if text in periods:
            return cls(text, periods[text])
        match = re.fullmatch(r"every=(\d{1,9})", text)
        if match is None or int(match[1]) < 1:
            raise UserError(f"history: must be {ALLOWED}; got {text!r}")
        return cls(text, int(match[1]))

    @property
    def keeps(self) -> bool:
        """Whether any round is stored."""
        return self.text != "none"

    def stays(self, round_number: int) -> bool:
        """Return whether a round is stored permanently, not only until the next round."""
        return self.period is not None and (round_number - 1) % self.period == 0


@dataclass(frozen=True)
class HistoryRound:
    """Updates that the server received in one round; only finite updates are included.

    Attributes:
        round_number: round number, counted from 1.
        weights: the global model at the start of the round, in the order of `get_weights()`.
        ids: client ids, `(n,)`.
        updates: float32 `(n, d)`, each row in the order of `get_weights()`.
        examples: number of examples of each client, `(n,)`.
    """

    round_number: int
    weights: list[np.ndarray]
    ids: np.ndarray
    updates: np.ndarray
    examples: np.ndarray

    def local_models(self) -> list[LocalModel]:
        """Return each client's model after local training, in the order of `ids`."""
        return [LocalModel(self.weights, update) for update in self.updates]


class LocalModel(Sequence):
    """The weights of a client's model, computed per array: global weights plus the client's update.

    Args:
        weights: the global model.
        update: the client's update, `(d,)`.
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
