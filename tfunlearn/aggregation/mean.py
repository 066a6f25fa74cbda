"""Federated averaging."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.left_out import left_out_weights
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack


def mean(updates, *, weights=None):
    """Return the weighted mean of the rows.

        mean = sum_i weights_i updates_i / sum_i weights_i

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
        weights: `(n,)`, >= 0, usually examples per client; default equal.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, weights of another length, or weights that sum to zero.

    Reference:
        McMahan et al., "Communication-efficient learning of deep networks from decentralized
        data", AISTATS 2017 (arXiv 1602.05629).
    """
    stack = finite_stack(updates, weights=weights)
    return weighted_mean(stack, stack.weights)


def weighted_mean(stack, weights):
    """Return the weighted mean of a checked stack's rows; `weights` None means equal weights."""
    ops, xp = stack.ops, stack.ops.xp
    if weights is None:
        weights = xp.ones([stack.n], xp.float64)
    weights = ops.round_to_24_bits(xp.asarray(weights, xp.float64))  # as in `combine`
    total = xp.sum(weights)
    ops.demand(
        total > 0,
        f"weights: must have a sum > 0; got {total} over {stack.n} updates",
        strict=True,
    )
    return ops.to_float32(ops.combine(weights, stack.rows) / total)


def _without_each(stack, f, own):
    weights = np.ones(stack.n) if stack.weights is None else stack.weights
    for kept in left_out_weights(weights):
        yield weighted_mean(stack, kept)


MEAN = Rule(
    name="mean",
    summary="mean of the updates weighted by examples",
    paper="McMahan et al., AISTATS 2017, arXiv 1602.05629",
    apply=lambda updates, given, own: mean(updates, weights=given.weights),
    weighted=True,
    takes_f=False,
    is_mean=True,
    averages={},
    without_each=_without_each,
    oracle=oracles.mean,
)
