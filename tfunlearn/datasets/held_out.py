"""Held-out test examples of data that come without a test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import refuse, require
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator

DEFAULT_SHARE = 0.2


@dataclass(frozen=True)
class HeldOutSettings:
    """Settings of data from files."""

    test_share: float = option(
        DEFAULT_SHARE, "Share of every class held out for testing where the data have no test set."
    )

    def __post_init__(self):
        require("test_share", self.test_share, 0 < self.test_share < 1, "a number between 0 and 1")


def refuse_share(own: HeldOutSettings, what: str) -> None:
    """Raise a `UserError` for a share that is given although the data have a test set."""
    refuse("test_share", own.test_share, own.test_share == DEFAULT_SHARE, f"with {what}")


def held_out(labels: np.ndarray, share: float) -> np.ndarray:
    """Return the mask of the test examples, bool `(N,)`: a share of every class, rounded.

    The choice is the same in every run. A class of two examples or more has at least one on each
    side; the only example of a class stays for training.
    """
    rng, chosen = generator(0, "held-out test set"), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = int(share * len(rows) + 0.5)
        chosen[rows[: max(min(count, len(rows) - 1), int(len(rows) > 1))]] = True
    return chosen
