"""Krum, and the scores that multi-Krum and Bulyan choose by."""

from __future__ import annotations

import warnings

import numpy as np

from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.stacks import (
    finite_stack, require_rows, squared_distances_of, tolerated)
from tfunlearn.core.errors import require, require_whole

CONDITION = "n >= 2f + 3"


def krum(updates, *, f: int, strict: bool = True):
    """Returns the row that lies closest to its `n - f - 2` nearest others.

        score_i = sum of ||x_i - x_j||^2 over the n - f - 2 nearest others j;   x_argmin score

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Rows that are not finite are left out, and
            each uses up one of the `f`.
        f: malicious rows to withstand, >= 0. Sample counts do not matter.
        strict: refuse `n < 2f + 3`; default True. False warns and takes at least one neighbour.

    Returns:
        float32 `(d,)`, one of the rows; of equal scores the first.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Blanchard et al., "Machine learning with adversaries: Byzantine tolerant gradient descent",
        NeurIPS 2017 (arXiv 1703.02757).
    """
    return mean_of_best(updates, f, 1, strict, "krum")


def best_rows(xp, distances, n, f, m):
    """Returns which `m` of n rows have the lowest scores, bool `(n,)`; equal ones in row order."""
    scores = krum_scores(xp, distances, xp.maximum(n - f - 2, 1))
    ranks = xp.argsort(xp.argsort(scores, kind="stable"), kind="stable")
    return ranks < m


def krum_choice(distances: np.ndarray, *, f: int, m: int) -> np.ndarray:
    """Returns which rows (multi-)Krum picks, bool `(n,)`, from squared distances `(n, n)`."""
    return best_rows(np, distances, len(distances), f, max(m, 1))


def krum_scores(xp, distances, neighbors):
    """Returns each row's sum of its `neighbors` least distances to others, `(n,)`.

    Args:
        xp: NumPy or its TensorFlow counterpart.
        distances: squared distances `(n, n)`, zero on the diagonal, which sorts first.
        neighbors: how many.
    """
    return xp.sum(xp.sort(distances, axis=1)[:, 1 : neighbors + 1], axis=1)


def mean_of_best(updates, f: int, m: int | None, strict: bool, rule: str):
    """Returns the mean of the `m` rows with the lowest scores; see `krum` and `multi_krum`."""
    stack = finite_stack(updates)
    f = tolerated(f, stack)
    require_rows(rule, stack, f, 2 * f + 3, CONDITION, strict=strict)
    xp = stack.ops.xp
    chosen = xp.maximum(stack.n - f - 2, 1) if m is None else m
    if m is not None:
        require_whole("m", m, 1)
        if isinstance(stack.n, int):
            require("m", m, m <= stack.n + stack.dropped, f"1 to n ({stack.n + stack.dropped})")
            if m > max(stack.n - f - 2, 1):
                warnings.warn(f"{rule}: m={m} is more than n - f - 2 = {stack.n - f - 2}, the "
                              "range that the proof covers", stacklevel=3)
        chosen = xp.minimum(m, stack.n)
    best = best_rows(xp, squared_distances_of(stack), stack.n, f, chosen)
    return weighted_mean(stack, best)
