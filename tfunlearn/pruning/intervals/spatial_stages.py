"""Stages of layers that pool, pad, crop or reorder values; one function per layer type."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from tfunlearn.pruning.intervals.stages import Impassable, Linear, Rearranged, Stage
from tfunlearn.pruning.intervals.windows import pad, windows


def is_channels_first(layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def channels_last(layer, operate: Callable) -> Callable:
    """Return `operate`, which expects channels last, adapted to the layout of `layer`."""
    if not is_channels_first(layer):
        return operate
    return lambda x, *rest: np.moveaxis(operate(np.moveaxis(x, 1, -1), *rest), -1, 1)


def _pool_scores(layer, x, fill: float) -> list[np.ndarray]:
    """Return the values at each position of the pooling windows, one array `(batch, ...)` each."""
    sizes = np.atleast_1d(layer.pool_size).tolist()
    strides = np.atleast_1d(layer.strides if layer.strides is not None else sizes).tolist()
    ones = [1] * len(sizes)
    view = windows(pad(x, sizes, strides, ones, layer.padding, fill), sizes, strides, ones)
    return [view[(..., *place)] for place in np.ndindex(*sizes)]


def _max_pool(layer) -> Stage:
    highest = channels_last(
        layer, lambda x: functools.reduce(np.maximum, _pool_scores(layer, x, -np.inf))
    )
    lowest = channels_last(
        layer, lambda x: functools.reduce(np.minimum, _pool_scores(layer, x, np.inf))
    )
    return Rearranged(highest, highest, lowest)


def _average_pool(layer) -> Stage:
    def average(x, scale):
        inside = functools.reduce(np.add, _pool_scores(layer, np.ones((1, *x.shape[1:-1], 1)), 0.0))
        return functools.reduce(np.add, _pool_scores(layer, x, 0.0)) * (scale / inside)

    return Linear(channels_last(layer, average), np.array(1.0))


def _over_space(layer, reduce: Callable) -> Callable:
    """Return `reduce` over all spatial axes of the layer's layout."""

    def over_space(x):
        axes = tuple(range(2, x.ndim)) if is_channels_first(layer) else tuple(range(1, x.ndim - 1))
        return reduce(x, axes, keepdims=layer.keepdims)

    return over_space


def _global_max(layer) -> Stage:
    return Rearranged(_over_space(layer, np.max), None, _over_space(layer, np.min))


def _global_average(layer) -> Stage:
    average = _over_space(layer, np.mean)
    return Linear(lambda x, scale: average(x) * scale, np.array(1.0))


def _flatten(layer) -> Stage:
    def flat(x):
        x = np.moveaxis(x, 1, -1) if is_channels_first(layer) and x.ndim > 2 else x
        return x.reshape(len(x), -1)

    return Rearranged(flat)


def _reshape(layer) -> Stage:
    return Rearranged(lambda x: x.reshape(len(x), *layer.target_shape))


def _permute(layer) -> Stage:
    return Rearranged(lambda x: np.transpose(x, (0, *layer.dims)))


def _zero_padding(layer) -> Stage:
    widths = [(0, 0), *np.reshape(layer.padding, (-1, 2)).tolist(), (0, 0)]
    return Rearranged(channels_last(layer, lambda x: np.pad(x, widths)))


def _cropping(layer) -> Stage:
    cuts = np.reshape(layer.cropping, (-1, 2)).tolist()

    def cropped(x):
        inner = (
            slice(before, length - after) for (before, after), length in zip(cuts, x.shape[1:])
        )
        return x[(slice(None), *inner)]

    return Rearranged(channels_last(layer, cropped))


def _up_sampling(layer) -> Stage:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise Impassable(f" with {layer.interpolation} interpolation")
    sizes = np.atleast_1d(layer.size).tolist()

    def repeated(x):
        for axis, size in enumerate(sizes, start=1):
            x = np.repeat(x, size, axis)
        return x

    return Rearranged(channels_last(layer, repeated))


def _in_each_dimension(name: str, function: Callable) -> dict[str, Callable]:
    return {f"{name}{dimensions}D": function for dimensions in (1, 2, 3)}


SPATIAL: dict[str, Callable[[object], Stage]] = {
    **_in_each_dimension("MaxPooling", _max_pool),
    **_in_each_dimension("AveragePooling", _average_pool),
    **_in_each_dimension("GlobalMaxPooling", _global_max),
    **_in_each_dimension("GlobalAveragePooling", _global_average),
    **_in_each_dimension("ZeroPadding", _zero_padding),
    **_in_each_dimension("Cropping", _cropping),
    **_in_each_dimension("UpSampling", _up_sampling),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
}
