"""What every rule does with a stack `(n, d)`, on NumPy arrays; `on_tensors` is its twin.

Sums run in float64: of n float32 values they are exact but for extreme spreads, so their
order, which differs between the twins, does not show in the float32 results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from tfunlearn.core.blocks import centered_gram, for_blocks, pieces_of, sum_of_stripes
from tfunlearn.core.errors import UserError

__all__ = ["as_stack", "by_coordinate", "centered_gram", "combine", "count_of", "demand",
           "demand_some", "diagonal", "finite_rows", "mix", "positions", "products", "repeat",
           "repeat_until", "rounded", "rows_where", "squared_distances", "to_float32", "xp"]

xp = np


def as_stack(updates) -> np.ndarray:
    """Returns `updates` as float32 `(n, d)` in C order, the same array where it is one.

    Raises:
        UserError: it is no stack of numbers, or empty.
    """
    try:
        stack = np.asarray(updates)
    except ValueError:
        raise UserError("updates: rows of different lengths are not allowed; allowed is (n, d)")
    if stack.dtype.kind not in "fiu" or stack.ndim != 2 or 0 in stack.shape:
        raise UserError(f"updates: {stack.dtype} of shape {stack.shape} is not allowed; allowed "
                        "is a float32 stack (n, d), n and d at least 1")
    with np.errstate(over="ignore"):  # a float64 too large for float32 is not finite
        return np.ascontiguousarray(stack, np.float32)


def finite_rows(stack: np.ndarray) -> np.ndarray:
    """Returns which rows hold neither NaN nor infinity, bool `(n,)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(stack @ np.ones(stack.shape[1], np.float32)))
    finite = np.ones(len(stack), bool)
    finite[suspects] = [np.isfinite(stack[row]).all() for row in suspects]
    return finite


def count_of(stack: np.ndarray) -> int:
    """Returns n."""
    return len(stack)


def positions(n: int) -> np.ndarray:
    """Returns 0 to n - 1."""
    return np.arange(n)


def rows_where(mask: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Returns the rows of a mask, the stack itself if that is all of them."""
    return stack if mask.all() else stack[mask]


def demand(holds: bool, message: str, *, strict: bool) -> None:
    """Raises a `UserError` unless `holds`; only warns if not strict."""
    if holds:
        return
    if strict:
        raise UserError(message)
    warnings.warn(message, stacklevel=4)


def demand_some(stack: np.ndarray) -> None:
    """Raises a `UserError` if no row is left."""
    if not len(stack):
        raise UserError("updates: no row is finite; allowed is at least one")


def squared_distances(stack: np.ndarray, point: np.ndarray | None = None) -> np.ndarray:
    """Returns the squared l2 distance of every row from `point` `(d,)`, float64 `(n,)`.

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
    """Returns the diagonal of a square matrix."""
    return matrix.diagonal()


def products(stack: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Returns the inner product of every row with `vector` `(d,)`, float64 `(n,)`."""
    def stripe(part: np.ndarray, direction: np.ndarray) -> np.ndarray:
        return sum(piece.astype(np.float64) @ along.astype(np.float64)
                   for piece, along in pieces_of(part, direction))

    return sum_of_stripes(stripe, stack, vector)


def combine(coefficients: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Returns `sum_i coefficients_i stack_i`, float64 `(d,)`, rows in order, zeros left out.

    Args:
        coefficients: float64 `(n,)`, rounded to 24 bits.
        stack: float32 `(n, d)`.
    """
    coefficients = rounded(coefficients)
    chosen = np.flatnonzero(coefficients)
    factors, result = coefficients[chosen, None], np.zeros(stack.shape[1])

    def block(first: int, last: int) -> None:
        terms = stack[chosen, first:last].astype(np.float64)
        terms *= factors
        np.add.reduce(terms, axis=0, out=result[first:last])  # row after row

    for_blocks(block, stack)
    return result


def rounded(numbers: np.ndarray) -> np.ndarray:
    """Returns float64 numbers rounded to 24 bits, at any size, where float32 would end.

    So the last bits, in which the twins may differ, do not reach the result.
    """
    spread = numbers * (2.0**29 + 1)
    return spread - (spread - numbers)


def mix(chosen: np.ndarray, stack: np.ndarray) -> np.ndarray:
    """Returns the mean of the rows that each row of `chosen` names, float32 `(k, d)`.

    Args:
        chosen: bool `(k, n)`, at least one true a row.
        stack: float32 `(n, d)`.
    """
    result = np.empty((len(chosen), stack.shape[1]), np.float32)
    ones, counts = chosen.astype(np.float64), chosen.sum(axis=1)[:, None]

    def block(first: int, last: int) -> None:
        result[:, first:last] = ones @ stack[:, first:last].astype(np.float64) / counts

    for_blocks(block, stack)
    return result


def by_coordinate(stack: np.ndarray, reduce: Callable, chosen: np.ndarray | None = None):
    """Returns `reduce(sorted values (b, n)) -> (b,)` of every coordinate, float32 `(d,)`.

    Args:
        stack: float32 `(n, d)`.
        reduce: sees only the rows of `chosen`.
        chosen: bool `(n,)`; default all rows.
    """
    result = np.empty(stack.shape[1], np.float32)
    chosen = slice(None) if chosen is None else np.flatnonzero(chosen)

    def block(first: int, last: int) -> None:
        values = np.ascontiguousarray(stack[chosen, first:last].T)
        values.sort(axis=1)
        result[first:last] = reduce(values)

    for_blocks(block, stack)
    return result + np.float32(0)  # -0 and 0 sort as equals


def repeat(times: int, step: Callable, *state):
    """Returns the state after `times` steps `(*state) -> state`."""
    for _ in range(times):
        state = step(*state)
    return state


def repeat_until(limit: int, step: Callable, *state):
    """Returns the state after steps `(*state) -> (done, *state)`, at most `limit`."""
    for _ in range(limit):
        done, *state = step(*state)
        if done:
            break
    return state


def to_float32(vector: np.ndarray) -> np.ndarray:
    """Returns a vector rounded to float32."""
    return vector.astype(np.float32)
