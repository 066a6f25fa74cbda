"""Coordinate-wise median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.left_out import by_ranks
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require
from tfunlearn.core.fields import option


def median(updates, *, compat: str | None = None):
    """Return the coordinate-wise median; for even n, the mean of the middle two values.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
            The median tolerates `f < n / 2` malicious rows. Sample counts are ignored.
        compat: `"flap"` takes the lower of the middle two values, as in FLAP's published code;
            default None.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or an unknown `compat`.

    Reference:
        Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates",
        ICML 2018 (arXiv 1803.01498).
    """
    require("compat", compat, compat in (None, "flap"), "None or 'flap'")
    stack = finite_stack(updates)
    low = (stack.n - 1) // 2
    high = low if compat else stack.n // 2
    return stack.ops.by_coordinate(
        stack.rows, low, high + 1, lambda values: middle(stack.ops.xp, values)
    )


def middle(xp, values):
    """Return the mean of the first and the last of one or two rows `(b,)`, float64 `(b,)`."""
    return (xp.asarray(values[0], xp.float64) + xp.asarray(values[-1], xp.float64)) / 2


@dataclass(frozen=True)
class MedianSettings:
    """Settings of the median."""

    compat: str | None = option(None, "flap: the lower median, as in FLAP's published code.")

    def __post_init__(self):
        require("compat", self.compat, self.compat in (None, "flap"), "None or 'flap'")


def _without_each(stack, f, own):
    low, high = (stack.n - 2) // 2, (stack.n - 1) // 2
    if own.compat:
        high = low

    def reduce(ordered, ranks):
        def at(place):
            below, above = ordered[:, place, None], ordered[:, place + 1, None]
            return np.where(ranks <= place, above, below).astype(np.float64)

        return (at(low) + at(high)) / 2

    yield from by_ranks(stack, reduce)


MEDIAN = Rule(
    name="median",
    summary="median per coordinate",
    paper="Yin et al., ICML 2018, arXiv 1803.01498",
    settings=MedianSettings,
    apply=lambda updates, given, own: median(updates, compat=own.compat),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    in_box=True,
    without_each=_without_each,
    oracle=oracles.median,
)
