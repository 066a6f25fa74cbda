"""Coordinate-wise trimmed mean."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.left_out import by_ranks
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack, require_rows, share_of


def trimmed_mean(updates, *, trim, strict: bool = True):
    """Return the coordinate-wise mean without the `trim` smallest and `trim` largest values.

        x_(1) <= ... <= x_(n);   mean of x_(trim + 1) ... x_(n - trim)

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each reduces
            the number of values trimmed on each side by one.
        trim: values trimmed on each side: a count, or a fraction (float) for `floor(trim * n)`.
            The rule tolerates `f <= trim` malicious rows. Sample counts are ignored.
        strict: refuse `trim >= n / 2`; default True. False warns and returns the median.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates",
        ICML 2018 (arXiv 1803.01498).
    """
    stack = finite_stack(updates)
    ops, xp, n = stack.ops, stack.ops.xp, stack.n
    trim = share_of(trim, n + stack.dropped, "trim")
    require_rows(
        "trimmed_mean",
        stack._replace(n=n + stack.dropped),
        trim,
        2 * trim + 1,
        "trim < n / 2 (f is trim)",
        strict=strict,
    )
    cut = xp.minimum(xp.maximum(trim - stack.dropped, 0), (n - 1) // 2)
    return ops.by_coordinate(
        stack.rows,
        cut,
        n - cut,
        lambda values: ops.sum_rows(values) / xp.asarray(n - 2 * cut, xp.float64),
    )


def _without_each(stack, f, own):
    n = stack.n
    cut = min(f, (n - 2) // 2)

    def reduce(ordered, ranks):
        inner = ordered[:, cut : n - cut].astype(np.float64)
        below, above = np.zeros_like(inner), np.zeros_like(inner)
        np.cumsum(inner[:, :-1], axis=1, out=below[:, 1:])
        np.cumsum(inner[:, :0:-1], axis=1, out=above[:, -2::-1])
        places = np.clip(ranks - cut, 0, inner.shape[1] - 1)  # without a cut row, an end is cut
        return np.take_along_axis(below + above, places, axis=1) / (n - 1 - 2 * cut)

    yield from by_ranks(stack, reduce)


TRIMMED_MEAN = Rule(
    name="trimmed-mean",
    summary="mean per coordinate without the f largest and smallest values",
    paper="Yin et al., ICML 2018, arXiv 1803.01498",
    apply=lambda updates, given, own: trimmed_mean(updates, trim=given.f, strict=given.strict),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    in_box=True,
    validates_f=True,
    averages={},
    without_each=_without_each,
    oracle=oracles.trimmed_mean,
)
