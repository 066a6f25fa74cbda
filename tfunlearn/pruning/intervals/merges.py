"""Layers with several inputs as interval arithmetic sees them."""

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
    """The maximum (or minimum) of several values moves by no more than the widest of them."""
    lows, highs = zip(*moves)
    return reduce(np.minimum, lows), reduce(np.maximum, highs)


Merge = Callable[[object, Sequence[Interval]], Interval]
BOUNDS: dict[str, Merge] = {
    "Add": _sum, "Average": _average, "Subtract": _subtract, "Concatenate": _concatenate,
    "Maximum": _maximum, "Minimum": _minimum,
}
DIFFERENCES: dict[str, Merge] = {**BOUNDS, "Maximum": _hull, "Minimum": _hull}
