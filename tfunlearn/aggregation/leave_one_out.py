"""Leave-one-out aggregates of a round, which share distances and sorts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfunlearn.aggregation.aggregator import Aggregator
from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require


def without_each(
    aggregator: Aggregator,
    updates: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    f: int,
    reference: np.ndarray | None = None,
    round_number: int = 1,
    model: np.ndarray | None = None,
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
        model: see `Aggregator`.

    Returns:
        n vectors `(d,)` float32, equal to the rule's results on n - 1 rows, without added noise.

    Raises:
        UserError: fewer than 2 rows, or a non-finite one.
    """
    require("updates", len(updates), len(updates) >= 2, "at least 2 rows")
    stack = finite_stack(updates, weights=weights)
    aggregator = aggregator.without_noise()
    require("updates", "NaN or infinity", stack.n == len(updates), "finite rows")
    rule = aggregator.method
    if rule.without_each is not None and not aggregator.before:
        shared = rule.without_each(stack, f, aggregator.own)
        if shared is not None:
            yield from shared
            return
    for left_out in range(stack.n):
        kept = np.arange(stack.n) != left_out
        yield aggregator(
            stack.rows[kept],
            weights=None if weights is None else stack.weights[kept],
            reference=reference,
            round_number=round_number,
            f=f,
            model=model,
        )
