"""Sliding windows over arrays `(batch, *space, channels)`: convolution and pooling in NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 64 * 2**20  # bytes of window values per block of a convolution


def pad(x: np.ndarray, sizes, strides, dilations, padding: str, fill: float = 0.0) -> np.ndarray:
    """Return `x` with the border for padding `"valid"`, `"same"` or `"causal"`."""
    if padding == "valid":
        return x
    widths = []
    for length, size, stride, dilation in zip(x.shape[1:-1], sizes, strides, dilations):
        reach = (size - 1) * dilation
        if padding == "causal":
            widths.append((reach, 0))
        else:
            total = max((math.ceil(length / stride) - 1) * stride + reach + 1 - length, 0)
            widths.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0), *widths, (0, 0)], constant_values=fill)


def windows(x: np.ndarray, sizes, strides, dilations) -> np.ndarray:
    """Return a view `(batch, *positions, channels, *sizes)` of a padded array."""
    space = range(1, x.ndim - 1)
    positions = [
        (x.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        for axis, size, stride, dilation in zip(space, sizes, strides, dilations)
    ]
    steps = [x.strides[axis] * stride for axis, stride in zip(space, strides)]
    inner = [x.strides[axis] * dilation for axis, dilation in zip(space, dilations)]
    return np.lib.stride_tricks.as_strided(
        x,
        (len(x), *positions, x.shape[-1], *sizes),
        (x.strides[0], *steps, x.strides[-1], *inner),
        writeable=False,
    )


def convolve(x: np.ndarray, kernel: np.ndarray, strides, dilations, padding: str) -> np.ndarray:
    """Return the cross-correlation of `x` with `kernel` `(*sizes, channels / groups, filters)`."""
    sizes, (depth, filters) = kernel.shape[:-2], kernel.shape[-2:]
    groups = x.shape[-1] // depth
    x = pad(x, sizes, strides, dilations, padding)
    columns = np.moveaxis(kernel, -2, 0).reshape(-1, groups, filters // groups)
    view = windows(x, sizes, strides, dilations)
    if groups == 1:
        return _by_blocks(view, columns[:, 0])
    return np.concatenate(
        [
            _by_blocks(part, columns[:, group])
            for group, part in enumerate(np.split(view, groups, axis=x.ndim - 1))
        ],
        axis=-1,
    )


def depthwise(x: np.ndarray, kernel: np.ndarray, strides, dilations, padding: str) -> np.ndarray:
    """Return each channel of `x` convolved with its own filters, `(*sizes, channels, each)`."""
    sizes, (depth, each) = kernel.shape[:-2], kernel.shape[-2:]
    return convolve(x, kernel.reshape(*sizes, 1, depth * each), strides, dilations, padding)


def _by_blocks(view: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply windows by columns, one slab of positions at a time."""
    if view.size * 8 <= BLOCK_BYTES or view.shape[1] == 1:
        positions = view.shape[: view.ndim // 2]  # batch, space; channels, window
        return (view.reshape(-1, len(columns)) @ columns).reshape(*positions, -1)
    return np.concatenate([_by_blocks(view[:, part], columns) for part in _slabs(view)], axis=1)


def _slabs(view: np.ndarray) -> Iterator[slice]:
    """Yield slices of the first spatial axis whose windows take at most `BLOCK_BYTES` each."""
    rows = view.shape[1]
    step = max(1, min(rows - 1, BLOCK_BYTES * rows // (view.size * 8)))
    yield from (slice(first, first + step) for first in range(0, rows, step))
