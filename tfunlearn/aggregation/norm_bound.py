"""Norm bounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import on_arrays, oracles
from tfunlearn.aggregation.clipping import clip_factors
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack, shares_of
from tfunlearn.core.errors import require, require_real
from tfunlearn.core.fields import option


def norm_bound(
    updates,
    *,
    bound: float | None = None,
    weights=None,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
):
    """Return the weighted mean of the rows, each clipped to l2 norm `bound`.

        mean of x_i min(1, bound / ||x_i||), plus Gaussian noise

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
        bound: maximum norm, > 0; default the median norm of the rows.
        weights: `(n,)`, >= 0; default equal.
        noise: standard deviation of the noise on each coordinate, 0 to 1e30; default 0. Arrays
            only.
        rng: `numpy.random.Generator`, required with noise.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, an argument out of range, noise without `rng`, or noise on
            tensors.

    Reference:
        Sun et al., "Can you really backdoor federated learning?", 2019 (arXiv 1911.07963).
    """
    if bound is not None:
        require_real("bound", bound, lambda value: value > 0, "a number > 0")
    require_real("noise", noise, lambda value: 0 <= value <= 1e30, "a number from 0 to 1e30")
    require(
        "rng",
        rng,
        noise == 0 or isinstance(rng, np.random.Generator),
        "a numpy.random.Generator, since there is noise",
    )
    stack = finite_stack(updates, weights=weights)
    ops, xp, n = stack.ops, stack.ops.xp, stack.n
    require("noise", noise, noise == 0 or ops is on_arrays, "0 on tensors")
    norms = xp.sqrt(ops.squared_distances(stack.rows))
    if bound is None:
        ordered = xp.sort(norms)
        bound = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    factors = clip_factors(xp, norms, bound)
    result = ops.combine(factors * shares_of(stack, stack.weights), stack.rows)
    if noise:
        assert rng is not None  # checked above
        result = result + rng.normal(0.0, noise, result.shape)
    return ops.to_float32(result)


@dataclass(frozen=True)
class NormBoundSettings:
    """Settings of norm bounding."""

    clip: float | None = option(None, "Largest norm of an update; none: the median norm.")
    noise: float = option(0.0, "Standard deviation of the noise that is added.")

    def __post_init__(self):
        if self.clip is not None:
            require_real("clip", self.clip, lambda value: value > 0, "a number > 0")
        require_real("noise", self.noise, lambda value: 0 <= value <= 1e6, "a number from 0 to 1e6")


NORM_BOUND = Rule(
    name="norm-bound",
    summary="mean of updates clipped to a norm, optionally with noise",
    paper="Sun et al., 2019, arXiv 1911.07963",
    settings=NormBoundSettings,
    apply=lambda updates, given, own: norm_bound(
        updates, bound=own.clip, weights=given.weights, noise=own.noise, rng=given.rng
    ),
    weighted=True,
    needs_arrays=lambda own: "noise" if own.noise else None,
    translates=False,
    averages={"clip": 1e6},
    noiseless={"noise": 0.0},
    oracle=oracles.norm_bound,
)
