"""Input checks of the rules: validation of the stack and removal of non-finite rows."""

from __future__ import annotations

import math
import types
from typing import Any, NamedTuple

import numpy as np

from tfunlearn.aggregation import on_arrays, on_tensors
from tfunlearn.core.errors import UserError, require, require_whole

MOST_WEIGHT = 1e30  # keeps sums of weights finite


class Stack(NamedTuple):
    """A checked stack.

    Attributes:
        ops: `on_arrays` or `on_tensors`, the module with its operations.
        rows: float32 `(n, d)`, finite.
        n: number of rows; a tensor if it is unknown while the graph is traced.
        dropped: number of non-finite rows that were dropped.
        weights: float64 `(n,)`, or None.
    """

    ops: types.ModuleType
    rows: Any
    n: Any
    dropped: Any
    weights: Any = None


def finite_stack(updates, *, weights=None) -> Stack:
    """Return the finite rows of `updates` as a `Stack`; the input is not modified.

    Raises:
        UserError: `updates` is not a stack or has no finite row, or the weights are invalid.
    """
    ops = array_module_of(updates)
    stack = ops.as_stack(updates)
    if weights is not None:
        weights = _check_weights(weights, stack, ops)
    finite = ops.finite_rows(stack)
    rows = ops.rows_where(finite, stack)
    ops.demand_some(rows)
    n = ops.count_of(rows)
    if weights is not None:
        weights = ops.rows_where(finite, weights)
    return Stack(ops, rows, n, ops.count_of(stack) - n, weights)


def array_module_of(updates) -> types.ModuleType:
    """Return `on_tensors` for a TensorFlow object, `on_arrays` for anything else."""
    return on_tensors if type(updates).__module__.startswith("tensorflow.") else on_arrays


def check_f(f: int, stack: Stack):
    """Return the number of malicious rows to tolerate among the finite rows, at least 0.

    Non-finite rows count as malicious: each dropped row uses up one of the `f`.
    """
    if array_module_of(f) is on_arrays:
        require_whole("f", f, 0)
    left = f - stack.dropped
    return max(left, 0) if array_module_of(left) is on_arrays else stack.ops.xp.maximum(left, 0)


def squared_distances_of(stack: Stack):
    """Return the squared l2 distances of all pairs of rows, float64 `(n, n)`.

    They come from one Gram matrix in float64, with an error of 1e-16 relative to the squared
    distances from the central row.
    """
    products = stack.ops.centered_gram(stack.rows)
    norms, xp = stack.ops.diagonal(products), stack.ops.xp
    distances = xp.maximum(norms[:, None] + norms[None, :] - 2 * products, 0.0)
    index = stack.ops.positions(stack.n)
    return xp.where(xp.equal(index[:, None], index[None, :]), 0.0, distances)


def require_rows(rule: str, stack: Stack, f, least, text: str, *, strict: bool) -> None:
    """Check that n is at least `least`, an int or a tensor; raise or warn as `strict` says."""
    stack.ops.demand(
        stack.n >= least,
        f"{rule}: needs {text}, here n >= {least}; got n={stack.n}, f={f}",
        strict=strict,
    )


def share_of(value: int | float, n, field: str):
    """Return a count unchanged, and a fraction (a float) of n as `floor(fraction * n)`.

    Raises:
        UserError: a fraction outside [0, 1), or a count that is not a whole number >= 0.
    """
    if isinstance(value, float):
        require(field, value, 0 <= value < 1, "a count, or a fraction >= 0.0 and < 1.0")
        if isinstance(n, (int, np.integer)):
            return math.floor(value * n + 1e-9)
        tf = on_tensors.tf
        return tf.cast(tf.floor(value * tf.cast(n, tf.float64) + 1e-9), tf.int64)
    if array_module_of(value) is on_arrays:
        require(
            field,
            value,
            isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0,
            "a whole number >= 0, or a fraction such as 0.1",
        )
    return value


def _check_weights(weights, stack, ops):
    if ops is on_tensors:
        weights = on_tensors.tf.cast(weights, "float64")
        if not weights.shape.is_compatible_with(stack.shape[:1]):
            raise UserError(
                f"weights: must be one weight per update, {stack.shape[:1]}; "
                f"got shape {weights.shape}"
            )
        fine = on_tensors.tf.reduce_all((weights >= 0) & (weights <= MOST_WEIGHT))
        ops.demand(fine, f"weights: must be numbers from 0 to {MOST_WEIGHT:g}", strict=True)
        return weights
    try:
        weights = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise UserError("weights: must be one number per update; got other values")
    if weights.shape != stack.shape[:1]:
        raise UserError(
            f"weights: must be one weight per update, ({len(stack)},); got shape {weights.shape}"
        )
    bad = ~((weights >= 0) & (weights <= MOST_WEIGHT))
    if bad.any():
        raise UserError(
            f"weights: must be numbers from 0 to {MOST_WEIGHT:g}; got {weights[bad][0]}"
        )
    return weights


def shares_of(stack: Stack, weights=None):
    """Return the normalized weights of the rows, float64 `(n,)`; `weights` None means equal.

    Raises:
        UserError: the weights sum to zero.
    """
    if weights is None:
        weights = stack.ops.xp.ones([stack.n], stack.ops.xp.float64)
    total = stack.ops.xp.sum(weights)
    stack.ops.demand(total > 0, "weights: must have a sum > 0; got 0", strict=True)
    return weights / total


def vector_like(stack: Stack, vector, field: str):
    """Return `vector` as float32 `(d,)`, with the d of the stack.

    Raises:
        UserError: the shape differs, or an array is not numeric or not finite.
    """
    size = stack.rows.shape[1]
    if array_module_of(vector) is on_arrays:
        try:
            vector = np.asarray(vector, np.float32)
        except (TypeError, ValueError):
            raise UserError(f"{field}: must be a vector of {size} values; got {vector!r}")
        require(field, "not finite", bool(np.isfinite(vector).all()), "a finite vector")
    require(
        field, tuple(vector.shape), tuple(vector.shape) == (size,), f"a vector of {size} values"
    )
    return vector
