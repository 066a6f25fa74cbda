"""Stack operations `(n, d)` shared by the rules, for tensors; counterpart of `on_arrays`.

The number of rows may be unknown while a graph is traced, as is the case inside TFF.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf


class _TensorNumpy:
    """TensorFlow's NumPy API, imported on first use."""

    def __getattr__(self, name: str):
        return getattr(tf.experimental.numpy, name)


xp = _TensorNumpy()


def as_stack(updates):
    """Return `updates` if it is a float32 tensor `(n, d)`; raise a `UserError` otherwise."""
    if updates.dtype != tf.float32 or updates.shape.rank != 2 or 0 in updates.shape.as_list():
        raise UserError(
            "updates: must be a float32 stack (n, d), n and d at least 1; "
            f"got {updates.dtype.name} of shape {updates.shape}"
        )
    return updates


def finite_rows(stack):
    """Return the mask of rows without NaN and infinity, bool `(n,)`."""
    return tf.reduce_all(tf.math.is_finite(stack), axis=1)


def count_of(stack):
    """Return n, an int if it is known, else a tensor."""
    known = stack.shape[0]
    return tf.shape(stack, tf.int64)[0] if known is None else known


def positions(n):
    """Return the integers 0 to n - 1, `(n,)`."""
    return tf.range(tf.cast(n, tf.int64))


def rows_where(mask, stack):
    """Return the rows selected by a mask."""
    return tf.boolean_mask(stack, mask)


def demand(holds, message: str, *, strict: bool) -> None:
    """Check `holds`: raise or warn now if it is known, else assert it in the graph if `strict`."""
    if isinstance(holds, (bool, int)):
        if holds:
            return
        if strict:
            raise UserError(message)
        warnings.warn(message, stacklevel=4)
    elif strict:
        tf.debugging.Assert(holds, [message])


def demand_some(stack) -> None:
    """Assert in the graph that a row is left."""
    tf.debugging.Assert(
        tf.shape(stack)[0] > 0, ["updates: at least one row must be finite; got none"]
    )


def centered_gram(stack):
    """Return the inner products `(n, n)` float64 of the rows minus the row of median norm."""
    norms = squared_distances(stack)
    order = tf.argsort(norms, stable=True)
    middle = tf.gather(order, (tf.shape(norms)[0] - 1) // 2)
    wide = tf.cast(stack, tf.float64)
    wide -= tf.gather(wide, middle)
    products = tf.matmul(wide, wide, transpose_b=True)
    return (products + tf.transpose(products)) / 2


def squared_distances(stack, point=None):
    """Return the squared l2 distance of every row from `point`, float64 `(n,)`."""
    wide = tf.cast(stack, tf.float64)
    if point is not None:
        wide -= tf.cast(point, tf.float64)
    return tf.reduce_sum(wide * wide, axis=1)


def diagonal(matrix):
    """Return the diagonal of a square matrix."""
    return tf.linalg.diag_part(matrix)


def products(stack, vector):
    """Return the inner product of every row with `vector` `(d,)`, float64 `(n,)`."""
    return tf.linalg.matvec(tf.cast(stack, tf.float64), tf.cast(vector, tf.float64))


def combine(coefficients, stack):
    """Return `sum_i coefficients_i stack_i`, float64 `(d,)`, in row order, without zero terms."""
    coefficients = round_to_24_bits(tf.cast(coefficients, tf.float64))
    chosen = tf.reshape(tf.where(tf.not_equal(coefficients, 0)), [-1])

    def add(index, total):
        row = chosen[index]
        term = tf.cast(tf.gather(stack, row), tf.float64) * tf.gather(coefficients, row)
        return index + 1, total + term

    zero = tf.zeros([tf.shape(stack)[1]], tf.float64)
    zero = tf.ensure_shape(zero, [stack.shape[1]])
    _, total = tf.while_loop(
        lambda index, _: index < tf.shape(chosen)[0],
        add,
        (tf.constant(0), zero),
        parallel_iterations=1,
    )
    return total


def round_to_24_bits(numbers):
    """Return float64 numbers rounded to 24 bits, without the range limits of float32."""
    spread = numbers * tf.constant(2.0**29 + 1, tf.float64)
    return spread - (spread - numbers)


def mix(chosen, stack):
    """Return the mean of the rows selected by each row of `chosen`, float32 `(k, d)`."""
    ones = tf.cast(chosen, tf.float64)
    counts = tf.reduce_sum(ones, axis=1, keepdims=True)
    return tf.cast(tf.matmul(ones, tf.cast(stack, tf.float64)) / counts, tf.float32)


def by_coordinate(stack, first, last, reduce: Callable, chosen=None):
    """Return `reduce(order statistics) -> (d,)`, applied per coordinate, float32 `(d,)`.

    `reduce` receives order statistics `first` to `last - 1`, `(last - first, d)`, ascending.
    """
    rows = stack if chosen is None else tf.boolean_mask(stack, chosen)
    values = tf.sort(rows, axis=0)[first:last]
    return tf.cast(reduce(values), tf.float32) + tf.constant(0.0)  # turns -0 into 0


def sum_rows(rows):
    """Return the sum of rows `(m, d)`, float64 `(d,)`."""
    return tf.reduce_sum(tf.cast(rows, tf.float64), axis=0)


def repeat(times, step: Callable, *state):
    """Return the state after `times` steps `(*state) -> state`."""
    _, *state = tf.while_loop(
        lambda done, *_: done < tf.cast(times, tf.int64),
        lambda done, *state: (done + 1, *step(*state)),
        (tf.constant(0, tf.int64), *state),
        parallel_iterations=1,
    )
    return state


def repeat_until(limit: int, step: Callable, *state):
    """Return the state after steps `(*state) -> (done, *state)` until done, at most `limit`."""

    def once(index, _, *state):
        done, *state = step(*state)
        return (index + 1, done, *state)

    _, _, *state = tf.while_loop(
        lambda index, done, *_: tf.logical_and(index < limit, tf.logical_not(done)),
        once,
        (tf.constant(0), tf.constant(False), *state),
        parallel_iterations=1,
    )
    return state


def to_float32(vector):
    """Return a vector rounded to float32."""
    return tf.cast(vector, tf.float32)
