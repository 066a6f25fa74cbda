"""Norm bounding."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import on_arrays
from tfunlearn.aggregation.stacks import finite_stack, shares_of
from tfunlearn.core.errors import require, require_real


def norm_bound(updates, *, bound: float | None = None, weights=None, noise: float = 0.0, rng=None):
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
    require_real("noise", noise, lambda value: 0 <= value <= 1e30, "0 to 1e30")
    require("rng", rng, noise == 0 or isinstance(rng, np.random.Generator),
            "a numpy.random.Generator, since there is noise")
    stack = finite_stack(updates, weights=weights)
    ops, xp, n = stack.ops, stack.ops.xp, stack.n
    require("noise", noise, noise == 0 or ops is on_arrays, "0 on tensors")
    norms = xp.sqrt(ops.squared_distances(stack.rows))
    if bound is None:
        ordered = xp.sort(norms)
        bound = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    factors = xp.where(norms > bound, bound / xp.maximum(norms, 1e-300), 1.0)
    result = ops.combine(factors * shares_of(stack, stack.weights), stack.rows)
    if noise:
        result = result + rng.normal(0.0, noise, result.shape)
    return ops.to_float32(result)
