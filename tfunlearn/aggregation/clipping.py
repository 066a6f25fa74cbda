"""Norms of rows, and the mean of rows clipped to their median norm."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.on_arrays import combine, squared_distances


def row_norms(rows: np.ndarray) -> np.ndarray:
    """Return the l2 norm of each row, float64 `(n,)`."""
    return np.sqrt(squared_distances(rows))


def clip_factors(xp, norms, bound):
    """Return the factors that shorten rows of given norms to a bound, at most 1, `(n,)`.

    Args:
        xp: NumPy or its TensorFlow counterpart.
        norms: `(n,)`.
        bound: the largest norm.
    """
    return xp.where(norms > bound, bound / xp.maximum(norms, 1e-300), 1.0)


def clipped_mean(rows: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean of the kept rows, each clipped to the median norm of all, and that norm.

    Args:
        rows: float32 `(n, d)`, finite.
        kept: bool `(n,)`, at least one True.

    Returns:
        float64 `(d,)`, and the median norm.
    """
    norms = row_norms(rows)
    bound = float(np.median(norms))
    factors = clip_factors(np, norms, bound)
    return combine(np.where(kept, factors / np.count_nonzero(kept), 0.0), rows), bound
