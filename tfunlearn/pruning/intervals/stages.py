"""Stages of a layer's computation for interval arithmetic.

A stage has three methods, all on arrays with a leading batch axis:

    bounds(lo, hi)           bounds of the outputs for inputs in [lo, hi]
    difference(lo, hi)       bounds of the output change for input changes in [lo, hi]
    change(new, x, d)        the same for an input change d if, in addition, the stage's weights
                             become those of `new`; x are the bounds of the old input
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.pruning.intervals.activations import Shape

Interval = tuple[np.ndarray, np.ndarray]


class NoBounds(UserError):
    """No bounds exist for a layer, or they are not finite; the message names the layer."""

    @property
    def reason(self) -> str:
        """The cause without the field and the suggested action."""
        return str(self).partition(": ")[2].partition(";")[0]


class Impassable(Exception):
    """A layer without stages; the message describes the unsupported property."""


@dataclass(frozen=True, eq=False)
class Linear:
    """y = operate(x, kernel) + shift, where `operate` is linear in both.

    With c and r the midpoint and the half-width of the input,

        y in operate(c, kernel) + shift ± operate(r, |kernel|)
    """

    operate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    kernel: np.ndarray
    shift: np.ndarray | float = 0.0

    def bounds(self, lo, hi) -> Interval:
        low, high = self.difference(lo, hi)
        return low + self.shift, high + self.shift

    def difference(self, lo, hi) -> Interval:
        middle = self.operate((lo + hi) / 2, self.kernel)
        spread = self.operate((hi - lo) / 2, np.abs(self.kernel))
        return middle - spread, middle + spread

    def change(self, new: Linear, x: Interval, d: Interval) -> Interval:
        moved = new.difference(*d)
        if new.kernel is not self.kernel:
            turned = Linear(self.operate, new.kernel - self.kernel).difference(*x)
            moved = moved[0] + turned[0], moved[1] + turned[1]
        step = new.shift - self.shift
        return moved[0] + step, moved[1] + step


@dataclass(frozen=True, eq=False)
class Elementwise:
    """An activation function; an input change is scaled by slopes in its slope range."""

    shape: Shape

    def bounds(self, lo, hi) -> Interval:
        function, turn = self.shape.function, self.shape.turn
        if turn is None:
            return function(lo), function(hi)
        return function(np.clip(turn, lo, hi)), np.maximum(function(lo), function(hi))

    def difference(self, lo, hi) -> Interval:
        ends = [slope * end for slope in self.shape.slopes for end in (lo, hi)]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def change(self, new: Elementwise, x: Interval, d: Interval) -> Interval:
        return self.difference(*d)


@dataclass(frozen=True, eq=False)
class Kink:
    """PReLU: x above 0, slope * x below, with a slope of any sign for each unit."""

    slope: np.ndarray

    def bounds(self, lo, hi) -> Interval:
        ends = [np.where(x > 0, x, self.slope * x) for x in (lo, hi, np.clip(0, lo, hi))]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def difference(self, lo, hi) -> Interval:
        ends = [lo, hi, self.slope * lo, self.slope * hi]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def change(self, new: Kink, x: Interval, d: Interval) -> Interval:
        moved = new.difference(*d)
        if new.slope is self.slope:
            return moved
        below = np.minimum(x[0], 0), np.minimum(x[1], 0)
        ends = [(new.slope - self.slope) * end for end in below]
        return moved[0] + np.minimum(*ends), moved[1] + np.maximum(*ends)


@dataclass(frozen=True, eq=False)
class Rearranged:
    """A reshape, crop, repetition or max pooling: no arithmetic on the values.

    Attributes:
        low: function for lower ends.
        high: function for upper ends; None for the same as `low`.
        low_move: function for the lower ends of a change; None for `low`.
    """

    low: Callable[[np.ndarray], np.ndarray]
    high: Callable[[np.ndarray], np.ndarray] | None = None
    low_move: Callable[[np.ndarray], np.ndarray] | None = None

    def bounds(self, lo, hi) -> Interval:
        return self.low(lo), (self.high or self.low)(hi)

    def difference(self, lo, hi) -> Interval:
        return (self.low_move or self.low)(lo), (self.high or self.low)(hi)

    def change(self, new: Rearranged, x: Interval, d: Interval) -> Interval:
        return self.difference(*d)


@dataclass(frozen=True, eq=False)
class Confined:
    """A stage with a known output range only, such as a softmax or a layer normalization."""

    lo: np.ndarray
    hi: np.ndarray

    def bounds(self, lo, hi) -> Interval:
        return np.broadcast_to(self.lo, lo.shape), np.broadcast_to(self.hi, hi.shape)

    def difference(self, lo, hi) -> Interval:
        moved = np.any((lo != 0) | (hi != 0), axis=tuple(range(1, lo.ndim)), keepdims=True)
        width = np.where(moved, np.broadcast_to(self.hi - self.lo, lo.shape), 0.0)
        return -width, width

    def change(self, new: Confined, x: Interval, d: Interval) -> Interval:
        if new.lo is self.lo and new.hi is self.hi:
            return self.difference(*d)
        return (
            np.broadcast_to(new.lo - self.hi, d[0].shape),
            np.broadcast_to(new.hi - self.lo, d[0].shape),
        )


Stage = Linear | Elementwise | Kink | Rearranged | Confined
