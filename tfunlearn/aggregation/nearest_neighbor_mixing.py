"""Nearest-neighbor mixing, a pre-aggregation step."""

from __future__ import annotations

from tfunlearn.aggregation.rule import PreAggregator
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows, squared_distances_of

CONDITION = "n >= 2f + 1"


def nearest_neighbor_mixing(updates, *, f: int, strict: bool = True):
    """Return the stack with each row replaced by the mean of its `n - f` nearest rows.

    Each row is one of its own nearest rows.

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each uses up
            one of the `f`.
        f: number of malicious rows to tolerate, >= 0.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(n, d)`; fewer rows if some were not finite. Ties go to the first rows.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Allouah et al., "Fixing by mixing: a recipe for optimal Byzantine ML under heterogeneity",
        AISTATS 2023 (arXiv 2302.01772).
    """
    stack = finite_stack(updates)
    f, xp = check_f(f, stack), stack.ops.xp
    require_rows("nearest_neighbor_mixing", stack, f, 2 * f + 1, CONDITION, strict=strict)
    order = xp.argsort(squared_distances_of(stack), axis=1, kind="stable")
    ranks = xp.argsort(order, axis=1, kind="stable")
    return stack.ops.mix(ranks < xp.maximum(stack.n - f, 1), stack.rows)


NEAREST_NEIGHBOR_MIXING = PreAggregator(
    name="nearest-neighbor-mixing",
    summary="each update is averaged with its nearest neighbors",
    paper="Allouah et al., AISTATS 2023, arXiv 2302.01772",
    apply=lambda updates, given, own, seed, number: nearest_neighbor_mixing(
        updates, f=given.f, strict=given.strict
    ),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
)
