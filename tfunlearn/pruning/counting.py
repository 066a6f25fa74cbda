"""How many filters or units a fraction stands for, and arrays of either library."""

from __future__ import annotations

import math

from tfunlearn.core.errors import require, require_real

DEFAULT_LIMIT = 0.2  # share of a layer that repeated prunings may take in all


def count_of(units: int, fraction: float) -> int:
    """Returns `max(1, ceil(fraction * units))`, free of float noise such as 0.07 * 100 > 7.

    A fraction of 0 is none.
    """
    return max(1, math.ceil(fraction * units - 1e-9)) if fraction else 0


def pair_count_of(units: int, fraction: float) -> int:
    """Returns how many disjoint pairs a fraction stands for: at most half of the units."""
    return min(count_of(units, fraction), units // 2)


def most_lost(units: int, limit: float | None) -> int:
    """Returns how many filters or units a layer may lose in all: `floor(limit * units)`, never all.

    Args:
        units: how many the layer has.
        limit: share that may go, prunings of before included; None for all but one.
    """
    least_left = units - 1
    return least_left if limit is None else min(math.floor(limit * units + 1e-9), least_left)


def limit_of(limit: float | None, *fractions: float) -> float:
    """Returns the share that repeated prunings may take from a layer in all.

    Args:
        limit: as asked; None for 0.2, or the largest fraction if that is more. A layer of fewer
            than 1 / limit filters or units loses none.
        *fractions: that a single pruning takes.

    Raises:
        UserError: no share, or less than a fraction.
    """
    largest = max(fractions)
    if limit is None:
        return max(DEFAULT_LIMIT, largest)
    require_real("limit", limit, lambda value: 0 < value <= 1, "a share > 0, at most 1")
    require("limit", limit, limit >= largest,
            f"at least what one pruning takes, {largest:g}; raise limit or lower the fraction")
    return float(limit)


def cast(array, dtype, xp):
    """Returns `array` as `dtype` in the array namespace `xp` (NumPy, or TensorFlow's NumPy)."""
    return xp.asarray(array, dtype=dtype)


def rank_of(scores, xp):
    """Returns the place of each score in ascending order, ties to the lower index."""
    return xp.argsort(xp.argsort(scores, kind="stable"), kind="stable")


def zeroed(weights: list, entries, removed, xp) -> list:
    """Returns `weights` with the channels `removed` (bool, last axis) of `entries` zeroed."""
    new = list(weights)
    for entry in entries:
        new[entry] = xp.where(removed, xp.zeros_like(new[entry]), new[entry])
    return new
