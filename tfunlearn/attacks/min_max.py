"""Min-max and min-sum: as far off as the honest updates' own distances allow."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.view import View
from tfunlearn.core.blocks import gram


def min_max(view: View) -> np.ndarray:
    """Returns the mean moved by gamma deviations, within the largest honest distance, `(c, d)`.

        x = mean - gamma * deviation, gamma the largest with
        max_i ||x - x_i|| <= max_ij ||x_i - x_j||

    Args:
        view: what the attackers see; the x_i are its `known` updates.

    Raises:
        UserError: fewer than two updates known.

    Reference:
        Shejwalkar & Houmansadr, "Manipulating the Byzantine: optimizing model poisoning attacks
        and defenses for federated learning", NDSS 2021; direction "inverse standard deviation".
        Deviation: gamma is the root of a quadratic, not the end of a halving search.
    """
    view.need_spread("min-max")
    geometry = _Geometry(view.known)
    radius = geometry.squared_distances().max()
    gamma = min(geometry.largest(distance, along, radius)
                for distance, along in zip(geometry.from_mean, geometry.along))
    return view.everywhere(geometry.mean - gamma * geometry.deviation)


def min_sum(view: View) -> np.ndarray:
    """Returns the mean moved by gamma deviations, within the largest sum of distances, `(c, d)`.

        x = mean - gamma * deviation, gamma the largest with
        sum_i ||x - x_i||^2 <= max_i sum_j ||x_i - x_j||^2

    Args:
        view: what the attackers see; the x_i are its `known` updates.

    Raises:
        UserError: fewer than two updates known.

    Reference:
        Shejwalkar & Houmansadr, NDSS 2021; see `min_max`.
    """
    view.need_spread("min-sum")
    geometry = _Geometry(view.known)
    count = len(view.known)
    radius = geometry.squared_distances().sum(axis=1).max() / count
    gamma = geometry.largest(geometry.from_mean.mean(), geometry.along.mean(), radius)
    return view.everywhere(geometry.mean - gamma * geometry.deviation)


class _Geometry:
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
        products = gram(self._known)
        norms = products.diagonal()
        return np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)

    def largest(self, distance: float, along: float, radius: float) -> float:
        """Returns the largest gamma >= 0 with `distance + 2 gamma along + gamma^2 size <= radius`,
        the squared distance of `mean - gamma deviation` from an update."""
        if self._size == 0:
            return 0.0
        root = along * along + self._size * (radius - distance)
        return max((np.sqrt(max(root, 0.0)) - along) / self._size, 0.0)
