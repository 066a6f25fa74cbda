"""Where honest updates lie around their mean, for attacks that stay within their spread."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.blocks import pairwise_squared_distances


class Geometry:
    """Mean and deviation of honest updates, and where these lie as seen from the mean.

    Attributes:
        mean, deviation: `(d,)` float64.
        from_mean: squared distance of every update from the mean, `(m,)`.
        along: inner product of (update - mean) with the deviation, `(m,)`.
    """

    def __init__(self, known: np.ndarray):
        self.mean = known.mean(axis=0, dtype=np.float64)
        self.deviation = known.std(axis=0, dtype=np.float64)
        self._known, self._size = known, float(self.deviation @ self.deviation)
        offsets = (row - self.mean for row in known)
        pairs = [(offset @ offset, offset @ self.deviation) for offset in offsets]
        self.from_mean, self.along = np.array(pairs).T

    def squared_distances(self) -> np.ndarray:
        """Returns those of all pairs of updates, `(m, m)`."""
        return pairwise_squared_distances(self._known)

    def largest(self, distance: float, along: float, radius: float) -> float:
        """Returns the largest gamma >= 0 with `distance + 2 gamma along + gamma^2 size <= radius`,
        the squared distance of `mean - gamma deviation` from an update."""
        if self._size == 0:
            return 0.0
        root = along * along + self._size * (radius - distance)
        return max((np.sqrt(max(root, 0.0)) - along) / self._size, 0.0)
