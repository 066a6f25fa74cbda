"""Coordinate-wise trimmed mean."""

from __future__ import annotations

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
    require_rows("trimmed_mean", stack._replace(n=n + stack.dropped), trim, 2 * trim + 1,
                 "trim < n / 2 (f is trim)", strict=strict)
    cut = xp.minimum(xp.maximum(trim - stack.dropped, 0), (n - 1) // 2)
    return ops.by_coordinate(stack.rows, lambda values: middle_mean(xp, values, cut, n))


def middle_mean(xp, values, cut, n):
    """Return the mean of sorted `values` `(b, n)` without `cut` values at each end, `(b,)`."""
    total = xp.sum(values[:, cut : n - cut], axis=1, dtype=xp.float64)
    return total / xp.asarray(n - 2 * cut, xp.float64)
