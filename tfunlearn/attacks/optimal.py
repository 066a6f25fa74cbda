"""ALIE and IPM with the factor that moves the server's own rule farthest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfunlearn.attacks.attack import UpdateAttack
from tfunlearn.attacks.view import AdversaryView

GRID = tuple(2.0**power for power in range(-3, 5))  # 1/8 to 16
HALVINGS = 4


def optimal_alie(view: AdversaryView) -> np.ndarray:
    """Return `mean - z * deviation` of the benign updates, with the worst z for the server's rule.

    Args:
        view: the adversary's view, with full knowledge.

    Returns:
        float32 `(c, d)`. z moves the aggregate farthest from the mean of the benign updates: the
        best of 1/8, 1/4, ..., 16, then refined four times to half the distance.

    Reference:
        Baruch et al., NeurIPS 2019 (arXiv 1902.06156); the search after Shejwalkar and Houmansadr,
        NDSS 2021.
    """
    benign = view.need_all("optimal-alie")
    deviation = benign.std(axis=0, dtype=np.float64)
    return _strongest(view, lambda mean, factor: mean - factor * deviation)


def optimal_ipm(view: AdversaryView) -> np.ndarray:
    """Return `-scale * mean` of the benign updates, with the worst scale for the server's rule.

    Args:
        view: the adversary's view, with full knowledge; see `optimal_alie` for the search.

    Reference:
        Xie et al., UAI 2019 (arXiv 1903.03936).
    """
    view.need_all("optimal-ipm")
    return _strongest(view, lambda mean, factor: -factor * mean)


def _strongest(view: AdversaryView, crafted: Callable) -> np.ndarray:
    """Return the crafted update with the factor of the largest damage."""
    mean = view.known.mean(axis=0, dtype=np.float64)

    def damage(factor: float) -> float:
        rows = np.concatenate([view.known, view.everywhere(crafted(mean, factor))])
        return float(np.linalg.norm(view.aggregate(rows) - mean))

    return view.everywhere(crafted(mean, best_factor(damage)))


def best_factor(damage: Callable[[float], float]) -> float:
    """Return the factor of the largest damage: on a grid, then between its neighbors.

    Args:
        damage: function of a factor > 0; of equal values the smaller factor is taken.
    """
    known = {factor: damage(factor) for factor in GRID}
    best = max(GRID, key=lambda factor: (known[factor], -factor))
    step = best / 2  # to the neighbor below; the one above is twice as far
    for _ in range(HALVINGS):
        for factor in (best - step, best + step):
            if factor > 0 and factor not in known:
                known[factor] = damage(factor)
        best = max(known, key=lambda factor: (known[factor], -factor))
        step /= 2
    return best


OPTIMAL_ALIE = UpdateAttack(
    name="optimal-alie",
    summary="alie with the z that moves the server's own rule farthest",
    paper="Baruch et al., NeurIPS 2019, arXiv 1902.06156",
    craft=lambda view, own: optimal_alie(view),
    needs_spread=("full",),
    needs_all=True,
)
OPTIMAL_IPM = UpdateAttack(
    name="optimal-ipm",
    summary="ipm with the factor that moves the server's own rule farthest",
    paper="Xie et al., UAI 2019, arXiv 1903.03936",
    craft=lambda view, own: optimal_ipm(view),
    needs_all=True,
)
