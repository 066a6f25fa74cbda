"""Multithreaded operations on a stack `(n, d)` in column blocks, without a copy of the stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np

from tfunlearn.core.threads import one_blas_thread

BLOCK = 8192  # columns per block: 100 rows of a block take a few MB
STRIPES = 16  # stripes summed in fixed order, independent of the number of threads
FEW = 2**17  # number of entries up to which threads cost more than they save


def gram(stack: np.ndarray, center: int | None = None) -> np.ndarray:
    """Return the inner products of all pairs of rows, float64 `(n, n)`.

    Args:
        stack: float32 `(n, d)`.
        center: index of the row that is subtracted from all rows first; default None, no row.
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
    return (products + products.T) / 2  # exact symmetry: mutual nearest neighbors must tie


def mean_centered(products: np.ndarray) -> np.ndarray:
    """Return the inner products of rows minus their mean, from those of the rows, `(n, n)`."""
    means = products.mean(axis=0)
    return products - means - means[:, None] + means.mean()


def cosines(products: np.ndarray) -> np.ndarray:
    """Return the cosines of all pairs of rows from their inner products; 0 for a row of zeros."""
    lengths = np.sqrt(np.maximum(products.diagonal(), 0))
    scale = lengths[:, None] * lengths[None, :]
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def central_row(stack: np.ndarray) -> int:
    """Return the index of the row of (lower) median norm, the first in case of ties.

    Distances are computed relative to this row, so that a component common to all rows costs no
    precision. A majority of rows bounds the norm, so no minority can force a row that costs
    precision.
    """
    norms = sum_of_stripes(lambda part: np.einsum("nd,nd->n", part, part, dtype=np.float64), stack)
    return int(np.argsort(norms, kind="stable")[(len(stack) - 1) // 2])


def centered_gram(stack: np.ndarray) -> np.ndarray:
    """Return the inner products of the rows minus their central row, float64 `(n, n)`."""
    return gram(stack, central_row(stack))


def pairwise_squared_distances(stack: np.ndarray) -> np.ndarray:
    """Return the squared L2 distances of all pairs of rows, float64 `(n, n)`."""
    return squared_distances_from(centered_gram(stack))


def squared_distances_from(products: np.ndarray) -> np.ndarray:
    """Return the squared L2 distances `(n, n)` of all pairs of rows from their Gram matrix.

    A centered Gram matrix gives the best precision.
    """
    norms = products.diagonal()
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    np.fill_diagonal(distances, 0)
    return distances


def pieces_of(*arrays: np.ndarray) -> Iterable:
    """Yield blocks of the arrays' last axis; tuples of blocks for several arrays."""
    for first in range(0, arrays[0].shape[-1], BLOCK):
        pieces = tuple(array[..., first : first + BLOCK] for array in arrays)
        yield pieces[0] if len(pieces) == 1 else pieces


def for_blocks(work: Callable[[int, int], None], stack: np.ndarray, width: int = BLOCK) -> None:
    """Call `work(first, last)` for the column range of every block of `width` columns."""
    columns = stack.shape[1]
    _for_all(
        lambda first: work(first, min(first + width, columns)), range(0, columns, width), stack
    )


def sum_of_stripes(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Return the sum of `work(*parts)` over stripes of the arrays' last axis, in fixed order."""
    columns = arrays[0].shape[-1]
    count = STRIPES if arrays[0].size > FEW else 1
    ends = [columns * part // count for part in range(count + 1)]
    stripes = [
        [array[..., first:last] for array in arrays] for first, last in zip(ends[:-1], ends[1:])
    ]
    return cast(np.ndarray, sum(_for_all(lambda stripe: work(*stripe), stripes, arrays[0])))


def _for_all(work: Callable, items: Iterable, stack: np.ndarray) -> list:
    """Map `work` over `items`, in threads unless the stack is small; NumPy releases the GIL."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if stack.size <= FEW or processors == 1:
        return [work(item) for item in items]
    with one_blas_thread(), ThreadPoolExecutor(processors) as pool:
        return list(pool.map(work, items))
