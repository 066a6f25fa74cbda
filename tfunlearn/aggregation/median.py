"""Coordinate-wise median."""

from __future__ import annotations

from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require


def median(updates, *, compat: str | None = None):
    """Return the coordinate-wise median; for even n, the mean of the middle two values.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
            The median tolerates `f < n / 2` malicious rows. Sample counts are ignored.
        compat: `"flap"` takes the lower of the middle two values, as in FLAP's published code;
            default None.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or an unknown `compat`.

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
    """Return the mean of columns `low` and `high` of `values` `(b, n)`, float64 `(b,)`."""
    return (xp.asarray(values[:, low], xp.float64) + xp.asarray(values[:, high], xp.float64)) / 2
