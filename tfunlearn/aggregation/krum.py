"""Krum, and the Krum scores used by multi-Krum and Bulyan."""

from __future__ import annotations

import warnings

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.left_out import spread, without
from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows, squared_distances_of
from tfunlearn.core.blocks import pairwise_squared_distances
from tfunlearn.core.errors import require, require_whole

CONDITION = "n >= 2f + 3"


def krum(updates, *, f: int, strict: bool = True):
    """Return the row with the lowest Krum score.

        score_i = sum of ||x_i - x_j||^2 over the n - f - 2 nearest others j;   x_argmin score

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each uses up
            one of the `f`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        strict: refuse `n < 2f + 3`; default True. False warns and uses at least one neighbor.

    Returns:
        float32 `(d,)`, one of the rows; the first one in case of equal scores.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Blanchard et al., "Machine learning with adversaries: Byzantine tolerant gradient descent",
        NeurIPS 2017 (arXiv 1703.02757).
    """
    return mean_of_best(updates, f, 1, strict, "krum")


def best_rows(xp, distances, n, f, m):
    """Return the mask of the `m` rows with the lowest scores, bool `(n,)`; ties in row order."""
    scores = krum_scores(xp, distances, xp.maximum(n - f - 2, 1))
    ranks = xp.argsort(xp.argsort(scores, kind="stable"), kind="stable")
    return ranks < m


def krum_choice(distances: np.ndarray, *, f: int, m: int) -> np.ndarray:
    """Return the mask of the rows that (multi-)Krum selects, bool `(n,)`.

    Args:
        distances: squared distances `(n, n)`.
        f: number of malicious rows to tolerate.
        m: number of rows to select; values below 1 count as 1 (Krum).
    """
    return best_rows(np, distances, len(distances), f, max(m, 1))


def krum_scores(xp, distances, neighbors):
    """Return the sum of each row's `neighbors` smallest distances to other rows, `(n,)`.

    Args:
        xp: NumPy or its TensorFlow counterpart.
        distances: squared distances `(n, n)`, zero on the diagonal, which sorts first.
        neighbors: number of distances in each sum.
    """
    return xp.sum(xp.sort(distances, axis=1)[:, 1 : neighbors + 1], axis=1)


def mean_of_best(updates, f: int, m: int | None, strict: bool, rule: str):
    """Return the mean of the `m` rows with the lowest scores; see `krum` and `multi_krum`."""
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows(rule, stack, f, 2 * f + 3, CONDITION, strict=strict)
    xp = stack.ops.xp
    chosen = xp.maximum(stack.n - f - 2, 1) if m is None else m
    if m is not None:
        require_whole("m", m, 1)
        if isinstance(stack.n, int):
            require(
                "m", m, m <= stack.n + stack.dropped, f"from 1 to n ({stack.n + stack.dropped})"
            )
            if m > max(stack.n - f - 2, 1):
                warnings.warn(
                    f"{rule}: m={m} is more than n - f - 2 = {stack.n - f - 2}, the "
                    "range that the proof covers",
                    stacklevel=3,
                )
        chosen = xp.minimum(m, stack.n)
    best = best_rows(xp, squared_distances_of(stack), stack.n, f, chosen)
    return weighted_mean(stack, best)


def kept_by_krum(rows: np.ndarray, f: int, selected: int) -> np.ndarray:
    """Return the mask of the rows that (multi-)Krum selects of finite updates, bool `(n,)`."""
    return krum_choice(pairwise_squared_distances(rows), f=f, m=min(selected, len(rows)))


def krum_without_each(stack, f, selected):
    """Yield the mean of the `selected` best rows without the first row, the second, and so on."""
    distances, n = squared_distances_of(stack), stack.n - 1
    for kept, sub in without(stack.n, distances):
        yield weighted_mean(stack, spread(kept, best_rows(np, sub, n, f, selected)))


KRUM = Rule(
    name="krum",
    summary="the update with the smallest sum of distances to its nearest neighbors",
    paper="Blanchard et al., NeurIPS 2017, arXiv 1703.02757",
    apply=lambda updates, given, own: krum(updates, f=given.f, strict=given.strict),
    keeps=lambda rows, given, own: kept_by_krum(rows, given.f, 1),
    least=lambda f: 2 * f + 3,
    condition=CONDITION,
    ignores_huge=True,
    validates_f=True,
    selects_neighbors=True,
    without_each=lambda stack, f, own: krum_without_each(stack, f, 1),
    oracle=oracles.krum,
)
