"""RFA: a few Weiszfeld iterations toward the geometric median."""

from __future__ import annotations

from tfunlearn.aggregation.geometric_median import geometric_median


def rfa(updates, *, weights=None, nu: float = 1e-6, passes: int = 3):
    """Return an approximate geometric median after few Weiszfeld iterations (RFA).

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
        weights: `(n,)` examples per client; default equal.
        nu: smoothing, the lower bound on distances, > 0; default 1e-6.
        passes: number of Weiszfeld iterations, >= 1; default 3.

    Reference:
        Pillutla et al., "Robust aggregation for federated learning", IEEE TSP 2022
        (arXiv 1912.13445).
    """
    return geometric_median(updates, weights=weights, nu=nu, passes=passes)
