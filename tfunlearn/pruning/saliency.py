"""Saliency of all unit pairs of a Dense layer, and selection of the cheapest pairs."""

from __future__ import annotations

import numpy as np

BLOCK = 512  # rows per block of the pair table
NEAR = 1e-9  # squared distances below this share of the squared norms are recomputed exactly


def pair_costs(
    kernel: np.ndarray, bias: np.ndarray | None, outgoing: np.ndarray, *, allow_dead: bool = False
) -> np.ndarray:
    """Return the saliency of every pair as `cost[j, i]`, the cost of removing j and keeping i.

        cost[j, i] = (|b_i - b_j| / |b_i + b_j| + ||w_i - w_j||) * ||a_j||

    The bias term is 0 where b_i + b_j = 0 or there is no bias. The cost is infinite on the diagonal
    and for pairs with a dead unit: one without outgoing weights, or without incoming weights and
    bias.

    Args:
        kernel: incoming weights `(..., n)`.
        bias: `(n,)`, or None.
        outgoing: outgoing weights `(n, m)`.
        allow_dead: include dead units; default False.

    Returns:
        `(n, n)` float64, computed in blocks; needs additional memory for the kernel in float64.
    """
    columns = np.array(kernel, np.float64).reshape(-1, kernel.shape[-1])
    bias = None if bias is None else np.asarray(bias, np.float64)
    norms = np.sqrt(np.einsum("nm,nm->n", outgoing, outgoing, dtype=np.float64))
    silent = np.einsum("dn,dn->n", columns, columns) == 0
    dead = (norms == 0) | (silent if bias is None else silent & (bias == 0))
    columns -= columns[:, :1].copy()  # a component common to all units only costs precision
    squares = np.einsum("dn,dn->n", columns, columns)
    cost = _unlikeness(columns, squares, bias)
    cost *= norms[:, None]
    np.fill_diagonal(cost, np.inf)
    if not allow_dead:
        cost[dead] = cost[:, dead] = np.inf
    return cost


def pair_saliency(kernel, bias, outgoing, kept: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Return the saliency `(k,)` of given pairs, each computed separately and exactly."""
    kernel = kernel.reshape(-1, kernel.shape[-1])
    gaps = kernel[:, kept].astype(np.float64) - kernel[:, removed]
    cost = np.sqrt(np.einsum("dk,dk->k", gaps, gaps))
    if bias is not None:
        bias = bias.astype(np.float64)
        cost += _ratios(bias[kept], bias[removed])
    return cost * np.linalg.norm(outgoing[removed].astype(np.float64), axis=1)


def cheapest_pairs(
    cost: np.ndarray, count: int, *, skip_best: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return `kept` and `removed`, the cheapest disjoint pairs in ascending order of cost.

    Ties are broken by the lower row, then by the lower column.

    Args:
        cost: `(n, n)`, rows removed, columns kept; infinite where a pair is not allowed. It is
            overwritten.
        count: maximum number of pairs.
        skip_best: leave out the cheapest pair (its units may occur in other pairs).
    """
    partner = cost.argmin(axis=1)
    best = cost[np.arange(len(cost)), partner]
    if skip_best and len(cost):
        row = int(best.argmin())
        cost[row, partner[row]] = np.inf
        partner[row], best[row] = cost[row].argmin(), cost[row].min()
    pairs = []
    while len(pairs) < count:
        row = int(best.argmin())
        if not np.isfinite(best[row]):
            break
        used = [int(partner[row]), row]
        pairs.append(used)
        cost[:, used] = np.inf
        best[used] = np.inf
        stale = np.flatnonzero(((partner == used[0]) | (partner == row)) & (best < np.inf))
        partner[stale] = cost[stale].argmin(axis=1)
        best[stale] = cost[stale, partner[stale]]
    return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)


def _unlikeness(columns, squares, bias) -> np.ndarray:
    """Return the symmetric distances of all units plus the bias term; the diagonal is unused."""
    units = len(squares)
    table = None if units <= BLOCK else np.empty((units, units))
    for first in range(0, units, BLOCK):
        part, rest = slice(first, first + BLOCK), slice(first, None)
        block = _distances(columns, squares, part, rest)
        if bias is not None:
            block += _ratios(bias[part, None], bias[rest])
        if table is None:
            return block
        table[part, rest] = block
        table[rest, part] = block.T
    assert table is not None  # else the only block is returned above
    return table


def _distances(columns, squares, part: slice, rest: slice) -> np.ndarray:
    """Return ||w_i - w_j|| of the units in `part` and those in `rest`, which starts with `part`."""
    block = columns[:, part].T @ columns[:, rest]
    block *= -2
    block += squares[part, None]
    block += squares[rest]
    np.fill_diagonal(block, 1)  # unused; excludes the diagonal from `near`
    near = block < NEAR * squares[part, None]  # cancellation left few or no digits
    if near.any():
        for i, j in zip(*np.nonzero(near & (block != 0))):
            gap = columns[:, part][:, i] - columns[:, rest][:, j]
            block[i, j] = gap @ gap
    return np.sqrt(block, out=block)


def _ratios(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return |x - y| / |x + y|, 0 where x + y = 0."""
    total = np.abs(one + other)
    return np.divide(np.abs(one - other), total, out=np.zeros_like(total), where=total != 0)
