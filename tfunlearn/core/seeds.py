"""Named random generators, all derived from the seed of the run."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Returns the generator of one purpose, independent of every other purpose's.

    Args:
        seed: the run's seed, a non-negative integer.
        purpose: what is drawn, such as `"shuffle"` or `"participation"`.
        *numbers: which draw of that purpose, such as round and client id.

    Returns:
        A generator; equal arguments give equal streams.
    """
    return np.random.default_rng(_entropy(seed, purpose, numbers))


def integers(seed: int, purpose: str, *numbers: int, count: int = 1) -> np.ndarray:
    """Returns `count` int32 seeds `(count,)` for code that takes seeds, not generators."""
    state = np.random.SeedSequence(_entropy(seed, purpose, numbers)).generate_state(count)
    return (state & 0x7FFFFFFF).astype(np.int32)


def _entropy(seed: int, purpose: str, numbers: tuple[int, ...]) -> list[int]:
    return [int(seed), zlib.crc32(purpose.encode()), *(int(number) for number in numbers)]
