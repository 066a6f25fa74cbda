"""Bulyan: repeated Krum selection, then a coordinate-wise mean around the median."""

from __future__ import annotations

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.krum import krum_scores
from tfunlearn.aggregation.left_out import spread, without
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import (
    Stack,
    check_f,
    finite_stack,
    require_rows,
    squared_distances_of,
)

CONDITION = "n >= 4f + 3"


def bulyan(updates, *, f: int, strict: bool = True):
    """Return the coordinate-wise mean of the values nearest to the median of Krum's selection.

        theta = n - 2f rows selected by Krum, each removed before the next selection;
        per coordinate, the mean of the theta - 2f values nearest to the median of the theta

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each uses up
            one of the `f`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        strict: refuse `n < 4f + 3`; default True. False warns, and uses at least one neighbor in
            Krum and at least one value per coordinate.

    Returns:
        float32 `(d,)`. Of two values equally near to the median, the smaller one is taken first.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        El Mhamdi et al., "The hidden vulnerability of distributed learning in Byzantium",
        ICML 2018 (arXiv 1802.07927). All selections use one Gram matrix.
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("bulyan", stack, f, 4 * f + 3, CONDITION, strict=strict)
    return around_the_median(stack, repeated_krum(stack, squared_distances_of(stack), f), f)


def repeated_krum(stack: Stack, distances, f):
    """Return the mask of the `n - 2f` rows selected by repeated Krum, bool `(n,)`.

    Each selected row is removed before the next selection.
    """
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
    """Return the coordinate-wise mean of the `theta - 2f` values nearest to the chosen median.

    The median is that of the rows in the mask `chosen` `(n,)`. Returns float32 `(d,)`.
    """
    ops, xp = stack.ops, stack.ops.xp
    theta = xp.maximum(stack.n - 2 * f, 1)
    size, position = xp.maximum(theta - 2 * f, 1), ops.positions(theta)
    return ops.by_coordinate(
        stack.rows,
        0,
        theta,
        lambda values: window_mean(ops, values, position, theta, size),
        chosen,
    )


def window_mean(ops, values, position, theta, size):
    """Return the mean of the `size` of sorted `values` `(theta, b)` nearest to the median, `(b,)`.

    They form a window of the sorted column. It starts at 0 and moves up by one as long as the value
    that would enter is nearer to the median than the one that would leave; ties do not move it.
    """
    xp = ops.xp
    low, high = (theta - 1) // 2, theta // 2
    wide = xp.asarray(values, xp.float64)
    center = (wide[low] + wide[high]) / 2
    nearer = wide[size:] - center < center - wide[: theta - size]
    start = xp.sum(xp.asarray(nearer, xp.int64), axis=0)
    inside = xp.logical_and(position[:, None] >= start, position[:, None] < start + size)
    return ops.sum_rows(xp.where(inside, wide, 0.0)) / xp.asarray(size, xp.float64)


def _kept(rows, f):
    stack = finite_stack(rows)
    return repeated_krum(stack, squared_distances_of(stack), f)


def _without_each(stack, f, own):
    distances, few = squared_distances_of(stack), stack._replace(n=stack.n - 1)
    for kept, sub in without(stack.n, distances):
        yield around_the_median(few, spread(kept, repeated_krum(few, sub, f)), f)


BULYAN = Rule(
    name="bulyan",
    summary="Krum selection, then a trimmed mean around the median per coordinate",
    paper="El Mhamdi et al., ICML 2018, arXiv 1802.07927",
    keeps=lambda rows, given, own: _kept(rows, given.f),
    apply=lambda updates, given, own: bulyan(updates, f=given.f, strict=given.strict),
    least=lambda f: 4 * f + 3,
    condition=CONDITION,
    ignores_huge=True,
    validates_f=True,
    averages={},
    selects_neighbors=True,
    without_each=_without_each,
    oracle=oracles.bulyan,
)
