"""RFA: a few Weiszfeld iterations toward the geometric median."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.geometric_median import (
    check_passes,
    geometric_median,
    weiszfeld_without_each,
)
from tfunlearn.aggregation.rule import Rule
from tfunlearn.core.fields import option

PASSES = 3  # the paper's


def rfa(updates, *, weights=None, nu: float = 1e-6, passes: int = PASSES):
    """Return an approximate geometric median after few Weiszfeld iterations (RFA).

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
        weights: `(n,)` examples per client; default equal.
        nu: smoothing, the lower bound on distances, > 0; default 1e-6.
        passes: number of Weiszfeld iterations, >= 1; default 3.

    Reference:
        Pillutla et al., "Robust aggregation for federated learning", IEEE TSP 2022
        (arXiv 1912.13445).
    """
    return geometric_median(updates, weights=weights, nu=nu, passes=passes)


@dataclass(frozen=True)
class RFASettings:
    """Settings of RFA."""

    passes: int | None = option(None, "Number of passes; none: 3.")

    def __post_init__(self):
        check_passes(self.passes)


RFA = Rule(
    name="rfa",
    summary="approximate geometric median, by three passes of Weiszfeld's algorithm",
    paper="Pillutla et al., IEEE TSP 2022, arXiv 1912.13445",
    settings=RFASettings,
    apply=lambda updates, given, own: rfa(
        updates, weights=given.weights, passes=own.passes or PASSES
    ),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    weighted=True,
    without_each=lambda stack, f, own: weiszfeld_without_each(stack, own.passes or PASSES),
    oracle=oracles.rfa,
)
