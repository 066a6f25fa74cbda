"""Coordinate-wise trimmed mean."""

from __future__ import annotations

from tfunlearn.aggregation.stacks import finite_stack, require_rows, share_of


def trimmed_mean(updates, *, trim, strict: bool = True):
    """Returns, per coordinate, the mean without the `trim` smallest and `trim` largest values.

        x_(1) <= ... <= x_(n);   mean of x_(trim + 1) ... x_(n - trim)

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Rows that are not finite are left out, and
            each counts as one that would have been trimmed on either side.
        trim: values cut on each side: a count, or a fraction (float) for `floor(trim * n)`.
            It withstands `f <= trim` malicious rows. Sample counts do not matter.
        strict: refuse `trim >= n / 2`; default True. False warns and takes the median.

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
    """Returns the mean of sorted `values` `(b, n)` without `cut` at either end, `(b,)`."""
    total = xp.sum(values[:, cut : n - cut], axis=1, dtype=xp.float64)
    return total / xp.asarray(n - 2 * cut, xp.float64)
