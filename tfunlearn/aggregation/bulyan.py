"""Bulyan: a choice by Krum, then a mean around the median of every coordinate."""

from __future__ import annotations

from tfunlearn.aggregation.krum import krum_scores
from tfunlearn.aggregation.stacks import (
    Stack, finite_stack, require_rows, squared_distances_of, tolerated)

CONDITION = "n >= 4f + 3"


def bulyan(updates, *, f: int, strict: bool = True):
    """Returns, per coordinate, the mean of the values nearest to the median of Krum's choice.

        theta = n - 2f picks by Krum, each taken out before the next;
        per coordinate the mean of the theta - 2f values nearest to the median of the theta

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Rows that are not finite are left out, and
            each uses up one of the `f`.
        f: malicious rows to withstand, >= 0. Sample counts do not matter.
        strict: refuse `n < 4f + 3`; default True. False warns, takes at least one neighbour in
            Krum and at least one value.

    Returns:
        float32 `(d,)`. Of two values equally near to the median the smaller one comes first.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        El Mhamdi et al., "The hidden vulnerability of distributed learning in Byzantium",
        ICML 2018 (arXiv 1802.07927). All picks come from one Gram matrix.
    """
    stack = finite_stack(updates)
    f = tolerated(f, stack)
    require_rows("bulyan", stack, f, 4 * f + 3, CONDITION, strict=strict)
    return around_the_median(stack, repeated_krum(stack, squared_distances_of(stack), f), f)


def repeated_krum(stack: Stack, distances, f):
    """Returns which `n - 2f` rows Krum picks when each pick is taken out, bool `(n,)`."""
    ops, xp = stack.ops, stack.ops.xp
    position = ops.positions(stack.n)

    def pick(left, alive):
        both = xp.logical_and(alive[:, None], alive[None, :])
        among = xp.where(both, distances, xp.inf)
        scores = xp.minimum(krum_scores(xp, among, xp.maximum(left - f - 2, 1)), 1e300)
        best = xp.argmin(xp.where(alive, scores, xp.inf))
        return left - 1, xp.logical_and(alive, xp.not_equal(position, best))

    picks = xp.maximum(stack.n - 2 * f, 1)
    _, alive = ops.repeat(picks, pick, stack.n, xp.ones([stack.n], bool))
    return xp.logical_not(alive)


def around_the_median(stack: Stack, chosen, f):
    """Returns the mean of the `theta - 2f` values nearest to the median of the chosen rows."""
    ops, xp = stack.ops, stack.ops.xp
    theta = xp.maximum(stack.n - 2 * f, 1)
    size, position = xp.maximum(theta - 2 * f, 1), ops.positions(theta)
    return ops.by_coordinate(
        stack.rows, lambda values: window_mean(xp, values, position, theta, size), chosen)


def window_mean(xp, values, position, theta, size):
    """Returns the mean of the `size` of sorted `values` `(b, theta)` nearest to their median.

    They are a window of the sorted row. It starts at 0 and moves up by one as long as the value
    that would come in is nearer to the median than the one that would go; a tie keeps it.
    """
    low, high = (theta - 1) // 2, theta // 2
    wide = xp.asarray(values, xp.float64)
    center = (wide[:, low] + wide[:, high])[:, None] / 2
    nearer = wide[:, size:] - center < center - wide[:, : theta - size]
    start = xp.sum(xp.asarray(nearer, xp.int64), axis=1)[:, None]
    inside = xp.logical_and(position[None, :] >= start, position[None, :] < start + size)
    return xp.sum(xp.where(inside, wide, 0.0), axis=1) / xp.asarray(size, xp.float64)
