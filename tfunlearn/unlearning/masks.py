"""Pruning masks of a kernel's entries: FedUP's mask and its controls."""

from __future__ import annotations

import math

import numpy as np


def entries_of(size: int, fraction: float) -> int:
    """Return `ceil(fraction * size)`, at most `size`; rounding errors below 1e-6 are ignored."""
    return min(size, math.ceil(round(fraction * size, 6)))


def largest(scores: np.ndarray, fraction: float, weight: np.ndarray) -> np.ndarray:
    """Return a bool mask of the `ceil(fraction * live)` largest scores.

    Ties are broken by position in C order.

    Args:
        scores: score of each entry, >= 0.
        fraction: share of the live entries, those where `weight` is not zero.
        weight: the kernel that the scores belong to, of the same shape; its zero entries are never
            selected.
    """
    live = weight.reshape(-1) != 0
    flat = np.where(live, scores.reshape(-1), -1.0)
    count = entries_of(int(np.count_nonzero(live)), fraction)
    mask = np.zeros(flat.size, bool)
    if count:
        least = np.partition(flat, flat.size - count)[flat.size - count]
        np.greater(flat, least, out=mask)
        ties = np.flatnonzero(flat == least)
        mask[ties[: count - np.count_nonzero(mask)]] = True
    return mask.reshape(scores.shape)


def divergence(difference: np.ndarray, weight: np.ndarray, rng=None) -> np.ndarray:
    """Return FedUP's rank, `difference^2 * |weight|`, computed in place in `difference`."""
    np.square(difference, out=difference)
    difference *= np.abs(weight)
    return difference


def magnitude(difference: np.ndarray, weight: np.ndarray, rng=None) -> np.ndarray:
    """Return `|weight|`: a control that ignores the malicious clients."""
    return np.abs(weight)


def random(difference: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return random scores: a control."""
    return rng.random(weight.shape, np.float32)


MASKS = {"divergence": divergence, "magnitude": magnitude, "random": random}
