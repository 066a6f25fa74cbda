"""An aggregation rule: the mean of values clipped to a range."""

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import Rule
from tfunlearn.core.errors import require_real
from tfunlearn.core.fields import option


@dataclass(frozen=True)
class ClippedMeanSettings:
    """Settings of the rule."""

    largest: float = option(1.0, "Largest absolute value of a coordinate.")

    def __post_init__(self):
        require_real("largest", self.largest, lambda value: value > 0, "a number > 0")


def clipped_mean(updates: np.ndarray, *, largest: float) -> np.ndarray:
    """Return the mean of updates `(n, d)` with every coordinate clipped to [-largest, largest]."""
    return np.clip(updates, -largest, largest).mean(axis=0, dtype=np.float64).astype(np.float32)


CLIPPED_MEAN = Rule(
    name="clipped-mean",
    summary="mean of updates whose coordinates are clipped to a range",
    settings=ClippedMeanSettings,
    apply=lambda updates, given, own: clipped_mean(updates, largest=own.largest),
    needs_arrays=lambda own: "rule",  # NumPy, not inside TFF
    translates=False,
    scales=False,
    takes_f=False,
    averages={"largest": 1e6},
)
