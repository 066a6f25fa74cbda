"""Stack operations `(n, d)` shared by the rules, for NumPy arrays; counterpart of `on_tensors`.

Sums run in float64: sums of n float32 values are exact except for extreme ranges, so their order,
which differs between the two modules, does not affect the float32 results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from tfunlearn.aggregation.sorting import order_statistics, width
from tfunlearn.core.blocks import centered_gram, for_blocks, pieces_of, sum_of_stripes
from tfunlearn.core.errors import UserError

__all__ = [
    "as_stack",
    "by_coordinate",
    "centered_gram",
    "combine",
    "count_of",
    "demand",
    "demand_some",
    "diagonal",
    "finite_rows",
    "mix",
    "positions",
    "products",
    "repeat",
    "repeat_until",
    "round_to_24_bits",
    "rows_where",
    "squared_distances",
    "sum_rows",
    "to_float32",
    "xp",
]

xp = np
REDUCED = 4096  # columns that `by_coordinate` reduces at once, in the cache


def as_stack(updates) -> np.ndarray:
    """Return `updates` as float32 `(n, d)` in C order, without a copy if it already is one.

    Raises:
        UserError: `updates` is not a two-dimensional stack of real numbers, or is empty.
    """
    try:
        stack = np.asarray(updates)
    except ValueError:
        raise UserError("updates: must be of shape (n, d); got rows of different lengths")
    if stack.dtype.kind not in "fiu" or stack.ndim != 2 or 0 in stack.shape:
        raise UserError(
            "updates: must be a float32 stack (n, d), n and d at least 1; "
            f"got {stack.dtype} of shape {stack.shape}"
        )
    with np.errstate(over="ignore"):  # float64 beyond float32's range becomes inf
        return np.ascontiguousarray(stack, np.float32)


def finite_rows(stack: np.ndarray) -> np.ndarray:
    """Return the mask of rows without NaN and infinity, bool `(n,)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(stack @ np.ones(stack.shape[1], np.float32)))
    finite = np.ones(len(stack), bool)
    finite[suspects] = [np.isfinite(stack[row]).all() for row in suspects]
    return finite


def count_of(stack: np.ndarray) -> int:
    """Return n."""
    return len(stack)


def positions(n: int) -> np.ndarray:
    """Return the integers 0 to n - 1, `(n,)`."""
    return np.arange(n)


def rows_where(mask: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Return the rows selected by a mask; the stack itself if it selects all."""
    return stack if mask.all() else stack[mask]


def demand(holds: bool, message: str, *, strict: bool) -> None:
    """Raise a `UserError` unless `holds`; only warn if not `strict`."""
    if holds:
        return
    if strict:
        raise UserError(message)
    warnings.warn(message, stacklevel=4)


def demand_some(stack: np.ndarray) -> None:
    """Raise a `UserError` if no row is left."""
    if not len(stack):
        raise UserError("updates: at least one row must be finite; got none")


def squared_distances(stack: np.ndarray, point: np.ndarray | None = None) -> np.ndarray:
    """Return the squared l2 distance of every row from `point` `(d,)`, float64 `(n,)`.

    Args:
        stack: float32 `(n, d)`.
        point: float32 `(d,)`; default the origin.
    """

    def stripe(*parts: np.ndarray) -> np.ndarray:
        total = np.zeros(len(stack))
        for pieces in pieces_of(*parts):
            piece, *center = pieces if point is not None else (pieces,)
            wide = piece.astype(np.float64)
            if center:
                wide -= center[0]
            total += np.einsum("ij,ij->i", wide, wide)
        return total

    return sum_of_stripes(stripe, *(stack,) if point is None else (stack, point))


def diagonal(matrix: np.ndarray) -> np.ndarray:
    """Return the diagonal of a square matrix."""
    return matrix.diagonal()


def products(stack: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the inner product of every row with `vector` `(d,)`, float64 `(n,)`."""

    def stripe(part: np.ndarray, direction: np.ndarray) -> np.ndarray:
        return cast(
            np.ndarray,
            sum(
                piece.astype(np.float64) @ along.astype(np.float64)
                for piece, along in pieces_of(part, direction)
            ),
        )

    return sum_of_stripes(stripe, stack, vector)


def combine(coefficients: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Return `sum_i coefficients_i stack_i`, float64 `(d,)`, in row order, without zero terms.

    Args:
        coefficients: float64 `(n,)`; rounded to 24 bits here.
        stack: float32 `(n, d)`.
    """
    coefficients = round_to_24_bits(coefficients)
    chosen = np.flatnonzero(coefficients)
    factors, result = coefficients[chosen, None], np.zeros(stack.shape[1])

    def block(first: int, last: int) -> None:
        terms = stack[chosen, first:last].astype(np.float64)
        terms *= factors
        np.add.reduce(terms, axis=0, out=result[first:last])  # row by row

    for_blocks(block, stack)
    return result


def round_to_24_bits(numbers: np.ndarray) -> np.ndarray:
    """Return float64 numbers rounded to 24 bits, without the range limits of float32.

    The last bits, in which the two modules may differ, then do not affect the result.
    """
    spread = numbers * (2.0**29 + 1)
    return spread - (spread - numbers)


def mix(chosen: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Return the mean of the rows selected by each row of `chosen`, float32 `(k, d)`.

    Args:
        chosen: bool `(k, n)`, at least one True per row.
        stack: float32 `(n, d)`.
    """
    result = np.empty((len(chosen), stack.shape[1]), np.float32)
    ones, counts = chosen.astype(np.float64), chosen.sum(axis=1)[:, None]

    def block(first: int, last: int) -> None:
        result[:, first:last] = ones @ stack[:, first:last].astype(np.float64) / counts

    for_blocks(block, stack)
    return result


def by_coordinate(
    stack: np.ndarray, first: int, last: int, reduce: Callable, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Return `reduce(order statistics) -> (b,)`, applied per coordinate, float32 `(d,)`.

    Args:
        stack: float32 `(n, d)`, finite.
        first: first order statistic that `reduce` receives; 0 is the smallest value.
        last: one beyond the last order statistic.
        reduce: function of `last - first` rows `(b,)` in ascending order, which it must not modify.
        chosen: bool `(n,)`, the rows to order; default all rows.
    """
    result = np.empty(stack.shape[1], np.float32)
    rows = slice(None) if chosen is None else np.flatnonzero(chosen)
    n = len(stack) if chosen is None else int(np.count_nonzero(chosen))

    def block(start: int, stop: int) -> None:
        ordered = order_statistics(stack[rows, start:stop], first, last)
        for piece in range(0, stop - start, REDUCED):
            parts = [row[piece : piece + REDUCED] for row in ordered]
            result[start + piece : min(start + piece + REDUCED, stop)] = reduce(parts)

    for_blocks(block, stack, width(n))
    return result + np.float32(0)  # turns -0 into 0, which sort as equal


def sum_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of rows `(b,)`, float64 `(b,)`, added one after the other.

    NumPy's sums add in an order that depends on the shape and on NumPy; this one does not.
    """
    total = rows[0].astype(np.float64)
    for row in rows[1:]:
        total += row
    return total


def repeat(times: int, step: Callable, *state):
    """Return the state after `times` steps `(*state) -> state`."""
    for _ in range(times):
        state = step(*state)
    return state


def repeat_until(limit: int, step: Callable, *state):
    """Return the state after steps `(*state) -> (done, *state)` until done, at most `limit`."""
    for _ in range(limit):
        done, *state = step(*state)
        if done:
            break
    return state


def to_float32(vector: np.ndarray) -> np.ndarray:
    """Return a vector rounded to float32."""
    return vector.astype(np.float32)
