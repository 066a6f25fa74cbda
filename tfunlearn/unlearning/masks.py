"""Which entries of a kernel are pruned: FedUP's mask and the controls it is compared with."""

from __future__ import annotations

import math

import numpy as np


def entries_of(size: int, fraction: float) -> int:
    """Returns `ceil(fraction * size)`; float noise below 1e-6 does not count."""
    return min(size, math.ceil(round(fraction * size, 6)))


def largest(scores: np.ndarray, fraction: float, weight: np.ndarray) -> np.ndarray:
    """Returns a mask of the largest scores, `ceil(fraction * live)` of them, bool.

    Args:
        scores: of each entry, >= 0.
        fraction: share of the live entries, those where `weight` is not zero.
        weight: the kernel that the scores belong to, of the same shape; entries that are zero
            already are never taken.

    Among equal scores those that come first in C order are taken.
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
    """Returns FedUP's rank, `difference^2 * |weight|`, in the place of `difference`."""
    np.square(difference, out=difference)
    difference *= np.abs(weight)
    return difference


def magnitude(difference: np.ndarray, weight: np.ndarray, rng=None) -> np.ndarray:
    """Returns `|weight|`: a control that does not look at the malicious clients."""
    return np.abs(weight)


def random(difference: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns random scores: a control that looks at nothing."""
    return rng.random(weight.shape, np.float32)


MASKS = {"divergence": divergence, "magnitude": magnitude, "random": random}
