"""Geometry of benign updates around their mean, for attacks that stay within their spread."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.blocks import pairwise_squared_distances


class Geometry:
    """Mean and standard deviation of the known updates, and the updates' positions around the mean.

    Attributes:
        mean, deviation: coordinate-wise, `(d,)` float64.
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
        """Return the squared distances of all pairs of updates, `(m, m)`."""
        return pairwise_squared_distances(self._known)

    def largest(self, distance: float, along: float, radius: float) -> float:
        """Return the largest gamma >= 0 with `distance + 2 gamma along + gamma^2 size <= radius`.

        The left side is the squared distance of `mean - gamma deviation` from an update, with size
        the squared norm of the deviation. Returns 0 if size is 0, and the gamma >= 0 of smallest
        distance if none satisfies the inequality.
        """
        if self._size == 0:
            return 0.0
        root = along * along + self._size * (radius - distance)
        return max((np.sqrt(max(root, 0.0)) - along) / self._size, 0.0)
