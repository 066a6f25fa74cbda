"""Min-max: the largest deviation whose distances stay within those between benign updates."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import UpdateAttack
from tfunlearn.attacks.geometry import Geometry
from tfunlearn.attacks.view import AdversaryView


def min_max(view: AdversaryView) -> np.ndarray:
    """Return the mean moved by gamma deviations, within the largest known distance, `(c, d)`.

        x = mean - gamma * deviation, gamma the largest with
        max_i ||x - x_i|| <= max_ij ||x_i - x_j||

    Args:
        view: the adversary's view; the x_i are its `known` updates.

    Raises:
        UserError: fewer than two known updates.

    Reference:
        Shejwalkar & Houmansadr, "Manipulating the Byzantine: optimizing model poisoning attacks
        and defenses for federated learning", NDSS 2021; direction "inverse standard deviation".
        Deviation: gamma is the root of a quadratic, not the result of a halving search.
    """
    view.need_spread("min-max")
    geometry = Geometry(view.known)
    radius = geometry.squared_distances().max()
    gamma = min(
        geometry.largest(distance, along, radius)
        for distance, along in zip(geometry.from_mean, geometry.along)
    )
    return view.everywhere(geometry.mean - gamma * geometry.deviation)


MIN_MAX = UpdateAttack(
    name="min-max",
    summary="largest shift whose distances stay below the largest distance of benign updates",
    paper="Shejwalkar & Houmansadr, NDSS 2021",
    craft=lambda view, own: min_max(view),
    needs_spread=("partial", "full"),
)
