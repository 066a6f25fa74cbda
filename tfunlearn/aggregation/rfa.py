"""RFA: a few passes towards the geometric median."""

from __future__ import annotations

from tfunlearn.aggregation.geometric_median import geometric_median


def rfa(updates, *, weights=None, nu: float = 1e-6, passes: int = 3):
    """Returns the geometric median after few passes, weighted by examples: RFA.

    Args:
        updates: float32 `(n, d)`, an array or a tensor.
        weights: `(n,)` examples per client; default equal.
        nu: least distance that counts; default 1e-6.
        passes: Weiszfeld passes; default 3.

    Reference:
        Pillutla et al., "Robust aggregation for federated learning", IEEE TSP 2022
        (arXiv 1912.13445).
    """
    return geometric_median(updates, weights=weights, nu=nu, passes=passes)
