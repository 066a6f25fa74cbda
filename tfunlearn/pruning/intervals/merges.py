"""Interval arithmetic of layers with several inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from tfunlearn.pruning.intervals.stages import Interval


def _sum(node, inputs):
    return tuple(reduce(np.add, ends) for ends in zip(*inputs))


def _average(node, inputs):
    return tuple(end / len(inputs) for end in _sum(node, inputs))


def _subtract(node, inputs):
    (low_a, high_a), (low_b, high_b) = inputs
    return low_a - high_b, high_a - low_b


def _concatenate(node, inputs):
    return tuple(np.concatenate(ends, axis=node.layer.axis) for ends in zip(*inputs))


def _maximum(node, inputs):
    return tuple(reduce(np.maximum, ends) for ends in zip(*inputs))


def _minimum(node, inputs):
    return tuple(reduce(np.minimum, ends) for ends in zip(*inputs))


def _hull(node, moves):
    """Return bounds on the change of a maximum or minimum: the hull of its inputs' changes."""
    lows, highs = zip(*moves)
    return reduce(np.minimum, lows), reduce(np.maximum, highs)


def _aligned(merge: Merge) -> Merge:
    """Return `merge` for inputs of different ranks: axes are added after the batch axis."""

    def merged(node, inputs):
        rank = max(lo.ndim for lo, _ in inputs)
        return merge(
            node,
            [
                tuple(np.expand_dims(end, tuple(range(1, rank - end.ndim + 1))) for end in interval)
                for interval in inputs
            ],
        )

    return merged


Merge = Callable[[object, Sequence[Interval]], Interval]
BOUNDS: dict[str, Merge] = {
    "Add": _aligned(_sum),
    "Average": _aligned(_average),
    "Subtract": _aligned(_subtract),
    "Maximum": _aligned(_maximum),
    "Minimum": _aligned(_minimum),
    "Concatenate": _concatenate,
}
DIFFERENCES: dict[str, Merge] = {**BOUNDS, "Maximum": _aligned(_hull), "Minimum": _aligned(_hull)}
