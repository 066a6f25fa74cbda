"""Numbers of filters or units for a pruning fraction, and array helpers for both libraries."""

from __future__ import annotations

import math

from tfunlearn.core.errors import require, require_real

DEFAULT_LIMIT = 0.2  # largest total share of a layer removed by repeated pruning


def count_of(units: int, fraction: float) -> int:
    """Return `max(1, ceil(fraction * units))` without rounding errors such as 0.07 * 100 > 7.

    For a fraction of 0, return 0.
    """
    return max(1, math.ceil(fraction * units - 1e-9)) if fraction else 0


def pair_count_of(units: int, fraction: float) -> int:
    """Return the number of disjoint pairs for a fraction: at most half of the units."""
    return min(count_of(units, fraction), units // 2)


def most_lost(units: int, limit: float | None) -> int:
    """Return the largest total number of filters or units that may be removed from a layer.

    The number is `floor(limit * units)`, but never all.

    Args:
        units: number of filters or units in the layer.
        limit: total share that may be removed, including earlier pruning; None for all but one.
    """
    least_left = units - 1
    return least_left if limit is None else min(math.floor(limit * units + 1e-9), least_left)


def limit_of(limit: float | None, *fractions: float) -> float:
    """Return the total share of a layer that repeated pruning may remove.

    Args:
        limit: the requested share; None for 0.2, or the largest fraction if that is more. A layer
            with fewer than 1 / limit filters or units loses none.
        *fractions: shares removed by a single pruning.

    Raises:
        UserError: `limit` is not in (0, 1], or is less than a fraction.
    """
    largest = max(fractions)
    if limit is None:
        return max(DEFAULT_LIMIT, largest)
    require_real("limit", limit, lambda value: 0 < value <= 1, "a share > 0, at most 1")
    require(
        "limit",
        limit,
        limit >= largest,
        f"at least what one pruning takes, {largest:g}; raise limit or lower the fraction",
    )
    return float(limit)


def cast(array, dtype, xp):
    """Return `array` as `dtype` in the array namespace `xp` (NumPy, or TensorFlow's NumPy)."""
    return xp.asarray(array, dtype=dtype)


def rank_of(scores, xp):
    """Return the rank of each score in ascending order, ties to the lower index."""
    return xp.argsort(xp.argsort(scores, kind="stable"), kind="stable")


def zero_entries(weights: list, entries, removed, xp) -> list:
    """Return `weights` with the channels `removed` (bool, last axis) of `entries` zeroed."""
    new = list(weights)
    for entry in entries:
        new[entry] = xp.where(removed, xp.zeros_like(new[entry]), new[entry])
    return new
