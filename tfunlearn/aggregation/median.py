"""Coordinate-wise median."""

from __future__ import annotations

from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require


def median(updates, *, compat: str | None = None):
    """Returns the median of every coordinate; of an even number, the mean of the middle two.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; rows that are not finite are left out.
            It withstands `f < n / 2` malicious rows. Sample counts do not matter.
        compat: `"flap"` takes the lower of the middle two, as FLAP's published code does.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or another `compat`.

    Reference:
        Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates",
        ICML 2018 (arXiv 1803.01498).
    """
    require("compat", compat, compat in (None, "flap"), "None or 'flap'")
    stack = finite_stack(updates)
    low = (stack.n - 1) // 2
    high = low if compat else stack.n // 2
    return stack.ops.by_coordinate(
        stack.rows, lambda values: middle(stack.ops.xp, values, low, high))


def middle(xp, values, low, high):
    """Returns the mean of columns `low` and `high` of `values` `(b, n)`, `(b,)`."""
    return (xp.asarray(values[:, low], xp.float64) + xp.asarray(values[:, high], xp.float64)) / 2
