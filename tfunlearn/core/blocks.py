"""Work on a stack `(n, d)` in blocks of columns, by all processors, without a copy of its size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfunlearn.core.threads import one_blas_thread

BLOCK = 8192  # columns at a time: 100 rows of a block take a few MB
STRIPES = 16  # parts whose sums are added in order, whatever the number of threads
FEW = 2**17  # entries up to which threads cost more than they save


def gram(stack: np.ndarray, center: int | None = None) -> np.ndarray:
    """Returns all inner products of rows, float64 `(n, n)`.

    Args:
        stack: float32 `(n, d)`.
        center: the row that is subtracted from all of them first; default none.
    """
    rows = len(stack)

    def stripe(part: np.ndarray) -> np.ndarray:
        products, wide = np.zeros((rows, rows)), np.empty((rows, min(BLOCK, part.shape[1])))
        for piece in pieces_of(part):
            filled = wide[:, : piece.shape[1]]
            filled[...] = piece
            if center is not None:
                filled -= piece[center].astype(np.float64)
            products += filled @ filled.T
        return products

    products = sum_of_stripes(stripe, stack)
    return (products + products.T) / 2  # rows that are each other's nearest must tie exactly


def central_row(stack: np.ndarray) -> int:
    """Returns the row of (lower) median norm, the first of several.

    Distances are worked out relative to it: what all rows have in common costs no digits then, and
    since a majority of rows bounds that norm, no minority can choose a row that costs some.
    """
    norms = sum_of_stripes(lambda part: np.einsum("nd,nd->n", part, part, dtype=np.float64), stack)
    return int(np.argsort(norms, kind="stable")[(len(stack) - 1) // 2])


def centered_gram(stack: np.ndarray) -> np.ndarray:
    """Returns the inner products `(n, n)` float64 of the rows minus their central row."""
    return gram(stack, central_row(stack))


def pairwise_squared_distances(stack: np.ndarray) -> np.ndarray:
    """Returns the squared l2 distances of all pairs of rows, float64 `(n, n)`."""
    return squared_distances_from(centered_gram(stack))


def squared_distances_from(products: np.ndarray) -> np.ndarray:
    """Returns the squared l2 distances of all pairs of rows, `(n, n)`, from their Gram matrix, best
    a centered one."""
    norms = products.diagonal()
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    np.fill_diagonal(distances, 0)
    return distances


def pieces_of(*arrays: np.ndarray) -> Iterable:
    """Gives the arrays' last axis in blocks; a tuple of pieces for several arrays."""
    for first in range(0, arrays[0].shape[-1], BLOCK):
        pieces = tuple(array[..., first : first + BLOCK] for array in arrays)
        yield pieces if len(pieces) > 1 else pieces[0]


def for_blocks(work: Callable[[int, int], None], stack: np.ndarray) -> None:
    """Calls `work(first, last)` for the columns of every block."""
    columns = stack.shape[1]
    _for_all(lambda first: work(first, min(first + BLOCK, columns)),
             range(0, columns, BLOCK), stack)


def sum_of_stripes(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Returns the sum of `work(*parts)` over stripes of the arrays' last axis, in fixed order."""
    columns = arrays[0].shape[-1]
    count = STRIPES if arrays[0].size > FEW else 1
    ends = [columns * part // count for part in range(count + 1)]
    stripes = [[array[..., first:last] for array in arrays]
               for first, last in zip(ends[:-1], ends[1:])]
    return sum(_for_all(lambda stripe: work(*stripe), stripes, arrays[0]))


def _for_all(work: Callable, items: Iterable, stack: np.ndarray) -> list:
    """Maps in threads, unless the stack is small; NumPy lets go of the interpreter meanwhile."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if stack.size <= FEW or processors == 1:
        return [work(item) for item in items]
    with one_blas_thread(), ThreadPoolExecutor(processors) as pool:
        return list(pool.map(work, items))
