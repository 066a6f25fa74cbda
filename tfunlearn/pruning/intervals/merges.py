"""Interval arithmetic of layers with several inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from tfunlearn.pruning.intervals.stages import Interval


def _sum(node, inputs) -> Interval:
    low, high = (reduce(np.add, ends) for ends in zip(*inputs))
    return low, high


def _average(node, inputs) -> Interval:
    low, high = _sum(node, inputs)
    return low / len(inputs), high / len(inputs)


def _subtract(node, inputs) -> Interval:
    (low_a, high_a), (low_b, high_b) = inputs
    return low_a - high_b, high_a - low_b


def _concatenate(node, inputs) -> Interval:
    low, high = (np.concatenate(ends, axis=node.layer.axis) for ends in zip(*inputs))
    return low, high


def _maximum(node, inputs) -> Interval:
    low, high = (reduce(np.maximum, ends) for ends in zip(*inputs))
    return low, high


def _minimum(node, inputs) -> Interval:
    low, high = (reduce(np.minimum, ends) for ends in zip(*inputs))
    return low, high


def _hull(node, moves) -> Interval:
    """Return bounds on the change of a maximum or minimum: the hull of its inputs' changes."""
    lows, highs = zip(*moves)
    return reduce(np.minimum, lows), reduce(np.maximum, highs)


def _align(merge: Merge) -> Merge:
    """Return `merge` for inputs of different ranks: axes are added after the batch axis."""

    def merged(node: Any, inputs: Sequence[Interval]) -> Interval:
        rank = max(lo.ndim for lo, _ in inputs)

        def raised(end: np.ndarray) -> np.ndarray:
            return np.expand_dims(end, tuple(range(1, rank - end.ndim + 1)))

        return merge(node, [(raised(lo), raised(hi)) for lo, hi in inputs])

    return merged


Merge = Callable[[Any, Sequence[Interval]], Interval]
BOUNDS: dict[str, Merge] = {
    "Add": _align(_sum),
    "Average": _align(_average),
    "Subtract": _align(_subtract),
    "Maximum": _align(_maximum),
    "Minimum": _align(_minimum),
    "Concatenate": _concatenate,
}
DIFFERENCES: dict[str, Merge] = {**BOUNDS, "Maximum": _align(_hull), "Minimum": _align(_hull)}
