"""Order statistics per coordinate: by a sorting network of minima and maxima, or by NumPy's sort.

Both give the same values; which one is faster depends on NumPy and the processor. NumPy 2 sorts
with AVX2 and AVX-512, NumPy 1 with AVX-512 only; minima and maxima are vectorized everywhere. Zeros
of both signs are equal, and their order is not defined: callers must treat them alike.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import numpy as np

NETWORK_WIDTH = 16384  # columns at once: longer rows leave the cache, shorter ones cost more calls
SORT_WIDTH = 2048
FEW_ROWS = 64  # number of rows up to which the network is faster than NumPy's vectorized sort
VECTORS = {"AVX2", "AVX512_SKX", "X86_V3", "X86_V4"}  # names differ between releases of NumPy 2


def order_statistics(values: np.ndarray, first: int, last: int) -> list[np.ndarray]:
    """Return the order statistics `first` to `last - 1` (0 is the smallest) of every column.

    Args:
        values: float32 `(n, b)` without NaN; not modified.
        first: first order statistic, from 0.
        last: one beyond the last order statistic, at most n.

    Returns:
        `last - first` rows `(b,)` in ascending order, float32 or float64; not to be modified.
    """
    return (by_sort if prefers_sort(len(values)) else by_network)(values, first, last)


def prefers_sort(n: int) -> bool:
    """Return whether NumPy's sort is used for `n` rows; the network otherwise."""
    return n > FEW_ROWS and sorts_vectors()


def width(n: int) -> int:
    """Return the number of columns that `order_statistics` should receive at once."""
    return SORT_WIDTH if prefers_sort(n) else NETWORK_WIDTH


@functools.cache
def sorts_vectors() -> bool:
    """Return whether NumPy sorts with AVX2 or AVX-512 here, which NumPy 1 does not do in general.

    NumPy 1 has no AVX2 sort, and with AVX-512 its sort takes as long as the network. Elsewhere than
    on x86 the network is used, too.
    """
    if int(np.__version__.partition(".")[0]) < 2:
        return False
    features = cast(Any, np.show_config)(mode="dicts").get("SIMD Extensions", {})
    return not VECTORS.isdisjoint([*features.get("baseline", []), *features.get("found", [])])


def by_sort(values: np.ndarray, first: int, last: int) -> list[np.ndarray]:
    """Return `order_statistics` by NumPy's sort, a list of float64 rows."""
    columns = values.T.copy()  # a copy even if the transpose is contiguous: one row or column
    columns.sort(axis=1)
    return list(columns[:, first:last].T.astype(np.float64, order="C"))


def by_network(values: np.ndarray, first: int, last: int) -> list[np.ndarray]:
    """Return `order_statistics` by a sorting network, a list of float32 rows.

    A comparator writes to rows of its own, so that `values` are read where they lie, without a
    copy. It leaves its minimum in the spare row; its lower row is the next spare one.
    """
    n, columns = values.shape
    # an odd multiple of 64 bytes from row to row: equal low bits of addresses slow loads down
    *own, spare = np.empty((n + 1, columns | 16), np.float32)[:, :columns]
    rows = list(values)
    for low, high, needs_low, needs_high in network(n, first, last):
        x, y = rows[low], rows[high]
        if needs_low:
            np.minimum(x, y, out=spare)
        if needs_high:
            np.maximum(x, y, out=own[high])
            rows[high] = own[high]
        if needs_low:
            rows[low], own[low], spare = spare, spare, own[low]
    return [rows[place] for place in _lines(n)[first:last]]


@functools.lru_cache(maxsize=16)
def network(n: int, first: int, last: int) -> list[tuple[int, int, bool, bool]]:
    """Return the comparators that order statistics `first` to `last - 1` of `n` rows depend on.

    Returns:
        `(low, high, needs_low, needs_high)` in order: row `low` becomes the minimum of both rows,
        row `high` the maximum, each if it is needed later.

    Reference:
        Batcher, "Sorting networks and their applications", AFIPS 1968: odd-even merge sort, for
        any number of rows. Depth first: rows that were just computed are merged next.
    """
    comparators, lines = _merge_sort(list(range(n)))
    needed = set(lines[first:last])
    kept = []
    for low, high in reversed(comparators):
        if low in needed or high in needed:
            kept.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return kept[::-1]


@functools.lru_cache(maxsize=16)
def _lines(n: int) -> list[int]:
    """Return the row that holds each order statistic after the network."""
    return _merge_sort(list(range(n)))[1]


def _merge_sort(lines: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the comparators that sort some rows, and the rows in ascending order."""
    if len(lines) < 2:
        return [], lines
    half = (len(lines) + 1) // 2
    lower, upper = _merge_sort(lines[:half]), _merge_sort(lines[half:])
    merge, ordered = _odd_even_merge(lower[1], upper[1])
    return lower[0] + upper[0] + merge, ordered


def _odd_even_merge(a: list[int], b: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the comparators that merge two ascending sequences of rows, and the merged rows."""
    if not a or not b:
        return [], a + b
    if len(a) == len(b) == 1:
        return [(a[0], b[0])], a + b
    even, odd = _odd_even_merge(a[::2], b[::2]), _odd_even_merge(a[1::2], b[1::2])
    pairs = list(zip(odd[1], even[1][1:]))
    rest = odd[1][len(pairs) :] + even[1][len(pairs) + 1 :]  # at most one
    ordered = [even[1][0], *(line for pair in pairs for line in pair), *rest]
    return even[0] + odd[0] + pairs, ordered
