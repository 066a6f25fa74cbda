"""Shared steps of leave-one-out aggregates: submatrices, masks and ranks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfunlearn.aggregation.stacks import Stack
from tfunlearn.core.blocks import for_blocks


def left_out_weights(weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the weights with the first one set to zero, then the second, and so on."""
    for left_out in range(len(weights)):
        yield np.where(np.arange(len(weights)) == left_out, 0, weights)


def without(n: int, matrix: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each left-out row, the mask of the others and their submatrix of `matrix`."""
    for left_out in range(n):
        kept = np.arange(n) != left_out
        yield kept, matrix[np.ix_(kept, kept)]


def spread(kept: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return `values` at the positions of the kept rows and zeros elsewhere, `(n,)`."""
    result = np.zeros(len(kept), values.dtype)
    result[kept] = values
    return result


def by_ranks(stack: Stack, reduce) -> Iterator[np.ndarray]:
    """Yield the n vectors `(d,)` computed by `reduce(sorted (b, n), ranks (b, n)) -> (b, n)`."""
    result = np.empty_like(stack.rows)

    def block(first: int, last: int) -> None:
        values = np.ascontiguousarray(stack.rows[:, first:last].T)
        order = np.argsort(values, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(stack.n)[None, :], axis=1)
        ordered = np.take_along_axis(values, order, axis=1)
        result[:, first:last] = reduce(ordered, ranks).T

    for_blocks(block, stack.rows)
    yield from result
