"""How many filters or units a fraction stands for, and arrays of either library."""

from __future__ import annotations

import math


def count_of(units: int, fraction: float) -> int:
    """Returns `max(1, ceil(fraction * units))`, free of float noise such as 0.07 * 100 > 7.

    A fraction of 0 is none.
    """
    return max(1, math.ceil(fraction * units - 1e-9)) if fraction else 0


def pair_count_of(units: int, fraction: float) -> int:
    """Returns how many disjoint pairs a fraction stands for: at most half of the units."""
    return min(count_of(units, fraction), units // 2)


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
