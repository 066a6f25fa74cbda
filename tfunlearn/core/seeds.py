"""Named random generators, all derived from the seed of the run."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the generator of one purpose, independent of the generators of other purposes.

    Args:
        seed: the run's seed, a non-negative integer.
        purpose: the use of the random numbers, such as `"shuffle"` or `"participation"`.
        *numbers: index of the draw within that purpose, such as round and client id.

    Returns:
        A generator; equal arguments give equal streams.
    """
    return np.random.default_rng(_entropy(seed, purpose, numbers))


def at_most(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return `rows`, or a sorted random sample of `most` of them if there are more."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def integers(seed: int, purpose: str, *numbers: int, count: int = 1) -> np.ndarray:
    """Return `count` int32 seeds `(count,)` for code that takes seeds instead of generators."""
    state = np.random.SeedSequence(_entropy(seed, purpose, numbers)).generate_state(count)
    return (state & 0x7FFFFFFF).astype(np.int32)


def shuffle(xp, positions, seed, number):
    """Return random ranks of `positions`, bit-identical in NumPy and in TensorFlow.

    The positions are sorted by a hash of (seed, number, position): two rounds of multiplying by an
    odd constant and XORing the upper half of the 32 bits into the lower half.

    Args:
        xp: `numpy`, or `tensorflow.experimental.numpy` inside a graph.
        positions: `(n,)`, 0 to n - 1; a tensor inside a graph.
        seed: integer, 0 to 2**31.
        number: index of the draw, such as the round; 0 to 2**31.
    """

    def mixed(words):
        for _ in range(2):
            words = ((words // 65536) ^ words) * 0x45D9F3B % 2**32
        return (words // 65536) ^ words

    def wide(value):
        return xp.asarray(value, xp.int64)

    start = mixed(mixed(wide(seed) + 1) + wide(number) * 0x9E3779B1 % 2**32)
    keys = mixed(mixed(start + wide(positions)) % 2**32)
    order = xp.argsort(xp.asarray(keys, xp.float64), kind="stable")
    return xp.argsort(order, kind="stable")


def _entropy(seed: int, purpose: str, numbers: tuple[int, ...]) -> list[int]:
    return [int(seed), zlib.crc32(purpose.encode()), *(int(number) for number in numbers)]
