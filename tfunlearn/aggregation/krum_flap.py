"""Multi-Krum as in FLAP's published code, to reproduce its tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.aggregation.krum import CONDITION, best_rows
from tfunlearn.aggregation.stacks import Stack, check_f, finite_stack, require_rows
from tfunlearn.core.blocks import pairwise_squared_distances
from tfunlearn.core.errors import require


def krum_flap(
    updates: np.ndarray,
    *,
    f: int,
    sizes: Sequence[int] | None = None,
    strict: bool = True,
) -> np.ndarray:
    """Return the sum of the `m = n - f - 2` best rows divided by n instead of m.

        distance_ij = sum over tensors of ||x_i - x_j||, not squared
        score_i = sum of the m smallest distances to others

    Args:
        updates: float32 `(n, d)`, arrays only; non-finite rows are dropped, and each uses up one
            of the `f`.
        f: number of malicious rows to tolerate, >= 0.
        sizes: numbers of entries of the model's tensors, in order; default one tensor.
        strict: refuse `n < 2f + 3`; default True.

    Returns:
        float32 `(d,)`, scaled by m / n relative to a mean of the m rows.

    Raises:
        UserError: no finite row, the condition above, or sizes that do not add up to d.

    Reference:
        The published code of Meng et al. (FLAP); three deviations from Blanchard et al.
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("krum_flap", stack, f, 2 * f + 3, CONDITION, strict=strict)
    sizes = [stack.rows.shape[1]] if sizes is None else list(sizes)
    require(
        "sizes",
        sum(sizes),
        sum(sizes) == stack.rows.shape[1],
        f"sizes that add up to {stack.rows.shape[1]}",
    )
    several = max(stack.n - f - 2, 1)
    distances = _distances(stack, sizes)
    best = best_rows(np, distances, stack.n, f, several)
    return stack.ops.to_float32(stack.ops.combine(best, stack.rows) / stack.n)


def _distances(stack: Stack, sizes: Sequence[int]) -> np.ndarray:
    total, ends = np.zeros((stack.n, stack.n)), np.cumsum([0, *sizes])
    for first, last in zip(ends[:-1], ends[1:]):
        total += np.sqrt(pairwise_squared_distances(stack.rows[:, first:last]))
    return total
