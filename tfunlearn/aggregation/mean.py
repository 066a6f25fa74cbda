"""Federated averaging over a stack of updates."""

from __future__ import annotations

import numpy as np


def mean(updates: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns the weighted mean of the rows.

        mean = sum_i weights_i updates_i / sum_i weights_i

    Args:
        updates: float32 `(n, d)`.
        weights: `(n,)`, >= 0, usually examples per client; default equal.

    Returns:
        float32 `(d,)`.

    Raises:
        ValueError: no rows, or the weights sum to zero.

    Reference:
        McMahan et al., "Communication-efficient learning of deep networks from decentralized
        data", AISTATS 2017 (arXiv 1602.05629).
    """
    weights = np.ones(len(updates)) if weights is None else np.asarray(weights, np.float64)
    total = weights.sum()
    if not total > 0:
        raise ValueError(f"weights: sum {total} of {len(updates)} updates; allowed is a sum > 0")
    return (weights / total).astype(np.float32) @ updates
