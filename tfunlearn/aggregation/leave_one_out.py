"""Leave-one-out aggregates of a round, which share distances and sorts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tfunlearn.aggregation.aggregator import Aggregator
from tfunlearn.aggregation.bulyan import around_the_median, repeated_krum
from tfunlearn.aggregation.geometric_median import weiszfeld
from tfunlearn.aggregation.krum import best_rows
from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.rules import RULES
from tfunlearn.aggregation.stacks import Stack, finite_stack, squared_distances_of
from tfunlearn.core.blocks import for_blocks
from tfunlearn.core.errors import require


def without_each(
    aggregator: Aggregator, updates: np.ndarray, *, weights: np.ndarray | None = None, f: int,
    reference: np.ndarray | None = None, round_number: int = 1,
) -> Iterator[np.ndarray]:
    """Yield the aggregate of all rows except the first, then all except the second, and so on.

    Median and trimmed mean sort each coordinate once; the Krum family, Bulyan and the geometric
    median compute distances once. Other rules, and rules after a pre-aggregation step such as
    bucketing, are run n times.

    Args:
        aggregator: the rule with its settings.
        updates: float32 `(n, d)`, finite, n at least 2.
        weights: examples per client `(n,)`; default equal.
        f: number of malicious clients to tolerate among the n - 1.
        reference: see `Aggregator`.
        round_number: see `Aggregator`.

    Returns:
        n vectors `(d,)` float32, equal to the rule's results on n - 1 rows, without added noise.

    Raises:
        UserError: fewer than 2 rows, or a non-finite one.
    """
    require("updates", len(updates), len(updates) >= 2, "at least 2 rows")
    stack = finite_stack(updates, weights=weights)
    aggregator = replace(aggregator, noise=0.0)
    require("updates", len(updates), stack.n == len(updates), "finite rows only")
    alone = aggregator.before or (aggregator.rule == "multi-krum" and aggregator.compat)
    shared = None if alone else _SHARED.get(aggregator.rule)
    if shared is not None:
        yield from shared(aggregator, stack, f)
        return
    for left_out in range(stack.n):
        kept = np.arange(stack.n) != left_out
        yield aggregator(
            stack.rows[kept], weights=None if weights is None else stack.weights[kept],
            reference=reference, round_number=round_number, f=f)


def _mean(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    weights = np.ones(stack.n) if stack.weights is None else stack.weights
    for left_out in range(stack.n):
        yield weighted_mean(stack, np.where(np.arange(stack.n) == left_out, 0, weights))


def _krum_family(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    distances, n = squared_distances_of(stack), stack.n - 1
    selected = 1 if aggregator.rule == "krum" else aggregator.selected or max(n - f - 2, 1)
    for kept, sub in _without(stack.n, distances):
        yield weighted_mean(stack, _spread(kept, best_rows(np, sub, n, f, selected)))


def _bulyan(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    distances, few = squared_distances_of(stack), stack._replace(n=stack.n - 1)
    for kept, sub in _without(stack.n, distances):
        yield around_the_median(few, _spread(kept, repeated_krum(few, sub, f)), f)


def _geometric_median(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    products, few = stack.ops.centered_gram(stack.rows), stack._replace(n=stack.n - 1)
    passes = aggregator.passes or (3 if aggregator.rule == "rfa" else None)
    for kept, sub in _without(stack.n, products):
        weights = None if stack.weights is None else stack.weights[kept]
        yield weighted_mean(stack, _spread(kept, weiszfeld(
            few, sub, weights, nu=1e-6, tolerance=1e-6, passes=passes)))


def _trimmed_mean(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    n = stack.n
    cut = min(f, (n - 2) // 2)

    def reduce(ordered, ranks):
        inner = ordered[:, cut : n - cut].astype(np.float64)
        below, above = np.zeros_like(inner), np.zeros_like(inner)
        np.cumsum(inner[:, :-1], axis=1, out=below[:, 1:])
        np.cumsum(inner[:, :0:-1], axis=1, out=above[:, -2::-1])
        places = np.clip(ranks - cut, 0, inner.shape[1] - 1)  # without a cut row, an end is cut
        return np.take_along_axis(below + above, places, axis=1) / (n - 1 - 2 * cut)

    yield from _by_ranks(stack, reduce)


def _median(aggregator: Aggregator, stack: Stack, f: int) -> Iterator[np.ndarray]:
    low, high = (stack.n - 2) // 2, (stack.n - 1) // 2
    if aggregator.compat:
        high = low

    def reduce(ordered, ranks):
        def at(place):
            below, above = ordered[:, place, None], ordered[:, place + 1, None]
            return np.where(ranks <= place, above, below).astype(np.float64)

        return (at(low) + at(high)) / 2

    yield from _by_ranks(stack, reduce)


_SHARED = {"mean": _mean, "krum": _krum_family, "multi-krum": _krum_family, "bulyan": _bulyan,
           "geometric-median": _geometric_median, "rfa": _geometric_median,
           "trimmed-mean": _trimmed_mean, "median": _median}
assert set(_SHARED) <= set(RULES)


def _without(n: int, matrix: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each left-out row, the mask of the others and their submatrix of `matrix`."""
    for left_out in range(n):
        kept = np.arange(n) != left_out
        yield kept, matrix[np.ix_(kept, kept)]


def _spread(kept: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return `values` at the positions of the kept rows and zeros elsewhere, `(n,)`."""
    result = np.zeros(len(kept), values.dtype)
    result[kept] = values
    return result


def _by_ranks(stack: Stack, reduce) -> Iterator[np.ndarray]:
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
