"""Min-sum: the largest deviation within the largest sum of distances between benign updates."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import UpdateAttack
from tfunlearn.attacks.geometry import Geometry
from tfunlearn.attacks.view import AdversaryView


def min_sum(view: AdversaryView) -> np.ndarray:
    """Return the mean moved by gamma deviations, within the largest sum of distances, `(c, d)`.

        x = mean - gamma * deviation, gamma the largest with
        sum_i ||x - x_i||^2 <= max_i sum_j ||x_i - x_j||^2

    Args:
        view: the adversary's view; the x_i are its `known` updates.

    Raises:
        UserError: fewer than two known updates.

    Reference:
        Shejwalkar & Houmansadr, NDSS 2021; see `min_max`.
    """
    view.need_spread("min-sum")
    geometry = Geometry(view.known)
    count = len(view.known)
    radius = geometry.squared_distances().sum(axis=1).max() / count
    gamma = geometry.largest(geometry.from_mean.mean(), geometry.along.mean(), radius)
    return view.everywhere(geometry.mean - gamma * geometry.deviation)


MIN_SUM = UpdateAttack(
    name="min-sum",
    summary="largest shift whose squared distances sum to at most those of a benign update",
    paper="Shejwalkar & Houmansadr, NDSS 2021",
    craft=lambda view, own: min_sum(view),
    needs_spread=("partial", "full"),
)
