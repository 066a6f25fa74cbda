"""Adaptive robust clipping (ARC), before a rule."""

from __future__ import annotations

from tfunlearn.aggregation.clipping import clip_factors
from tfunlearn.aggregation.rule import PreAggregator
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows

CONDITION = "f < n / 2"


def arc(updates, *, f: int, strict: bool = True):
    """Return the stack with its k longest rows shortened to the (k + 1)-th longest norm.

        k = floor(2 f (n - f) / n)

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each uses up
            one of the `f`.
        f: number of malicious rows to tolerate, >= 0.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(n, d)`.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Allouah et al., "Adaptive gradient clipping for robust federated learning", ICLR 2025
        (arXiv 2405.14432). k is computed in whole numbers: in floating point, 0.9999... is cut off
        for some n and f.
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("arc", stack, f, 2 * f + 1, CONDITION, strict=strict)
    ops, xp, n = stack.ops, stack.ops.xp, stack.n
    count = xp.maximum(xp.minimum(2 * f * (n - f) // n, n - 1), 0)
    norms = xp.sqrt(ops.squared_distances(stack.rows))
    bound = xp.sort(norms)[n - 1 - count]
    return stack.rows * xp.asarray(clip_factors(xp, norms, bound), xp.float32)[:, None]


ARC = PreAggregator(
    name="arc",
    summary="the longest updates are shortened to the next longest norm",
    paper="Allouah et al., ICLR 2025, arXiv 2405.14432",
    apply=lambda updates, given, own, seed, number: arc(updates, f=given.f, strict=given.strict),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
)
