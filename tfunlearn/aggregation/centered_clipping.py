"""Centered clipping."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack, vector_like
from tfunlearn.core.errors import require_real, require_whole
from tfunlearn.core.fields import option

RADIUS = 10.0


def centered_clipping(updates, *, center=None, clip: float = RADIUS, passes: int = 1):
    """Return the center moved by the mean of the clipped differences of the rows from it.

        v <- v + (1 / n) sum_i (x_i - v) min(1, clip / ||x_i - v||)

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
            Sample counts are ignored. The theory covers `f / n` up to about 0.1.
        center: v `(d,)`, the previous aggregate; default zeros.
        clip: clipping radius, > 0; default 10. The paper's radii are 10, 100 and 1000 for client
            momentum 0, 0.9 and 0.99.
        passes: number of iterations, >= 1; default 1.

    Returns:
        float32 `(d,)`, the next round's `center`.

    Raises:
        UserError: no finite row, `center` of another length, or an argument out of range.

    Reference:
        Karimireddy et al., "Learning from history for Byzantine robust optimization", ICML 2021
        (arXiv 2012.10333).
    """
    require_real("clip", clip, lambda value: value > 0, "a number > 0")
    require_whole("passes", passes, 1)
    stack = finite_stack(updates)
    if center is None:
        center = stack.ops.xp.zeros([stack.rows.shape[1]], stack.ops.xp.float32)
    center = vector_like(stack, center, "center")
    for _ in range(passes):
        center = stack.ops.to_float32(_pass(stack, center, clip))
    return center


def _pass(stack, center, clip: float):
    ops, xp = stack.ops, stack.ops.xp
    distances = xp.sqrt(ops.squared_distances(stack.rows, center))
    factors = clip / xp.maximum(distances, clip)  # 1 within the radius, also at the center
    factors = ops.round_to_24_bits(factors)  # as in `combine`
    wide = xp.asarray(center, xp.float64)
    moved = ops.combine(factors, stack.rows) - xp.sum(factors) * wide
    return wide + moved / xp.asarray(stack.n, xp.float64)


@dataclass(frozen=True)
class CenteredClippingSettings:
    """Settings of centered clipping."""

    clip: float | None = option(None, f"Clipping radius; none: {RADIUS:g}.")
    passes: int | None = option(None, "Number of passes; none: 1.")

    def __post_init__(self):
        if self.clip is not None:
            require_real("clip", self.clip, lambda value: value > 0, "a number > 0")
        if self.passes is not None:
            require_whole("passes", self.passes, 1, 1000)


CENTERED_CLIPPING = Rule(
    name="centered-clipping",
    summary="mean of updates clipped around the previous aggregate",
    paper="Karimireddy et al., ICML 2021, arXiv 2012.10333",
    settings=CenteredClippingSettings,
    apply=lambda updates, given, own: centered_clipping(
        updates,
        center=given.reference,
        clip=RADIUS if own.clip is None else own.clip,
        passes=own.passes or 1,
    ),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    reference="previous",
    translates=False,
    scales=False,
    averages={"clip": 1e6},
    tried_with={"clip": 3.0},
    oracle=oracles.centered_clipping,
)
