"""How far the outputs move when a unit takes over for another: intervals, their l1 and entropy."""

from __future__ import annotations

import numpy as np

from tfunlearn.pruning.intervals.propagation import Propagation
from tfunlearn.pruning.intervals.stages import Interval, NoBounds
from tfunlearn.pruning.sites import Site

SIMILARITY = 0.9
BLOCK_VALUES = 2**22  # of the table of output pairs that the entropy lays out at a time


def pair_impacts(
    propagation: Propagation, site: Site, kept: np.ndarray, removed: np.ndarray
) -> Interval:
    """Returns by how much the outputs can move when each of `k` pairs goes by itself.

    With [lo, hi] the bounds of the units as the next Dense layers read them, removing j in favour
    of i moves what such a layer computes by

        [lo_i - hi_j, hi_i - lo_j] * a_j

    and the outputs by that interval sent through the rest of the model.

    Args:
        propagation: bounds of the model before the pairs of this layer go.
        site: the layer.
        kept, removed: the pairs, each `(k,)`.

    Returns:
        Lower and upper ends, each `(k, outputs)`.
    """
    graph, starts = propagation.graph, {}
    for node in graph.nodes:
        entry = graph.positions.get(id(getattr(node.layer, "kernel", None)))
        if entry not in site.outgoing:
            continue
        lo, hi = (end[0] for end in propagation.bounds(node.inputs[0]))
        low, high = (np.moveaxis(end, -1, 0)[..., None] for end in (
            lo[..., kept] - hi[..., removed], hi[..., kept] - lo[..., removed]))
        rows = propagation.weights[entry][removed].astype(np.float64)
        rows = rows.reshape(len(rows), *[1] * (low.ndim - 2), -1)
        starts[node] = np.minimum(low * rows, high * rows), np.maximum(low * rows, high * rows)
    return propagation.difference(starts)


def widths(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Returns L `(k,)`, the l1 norm of intervals `(k, outputs)`: the sum of their widths."""
    return (hi - lo).sum(axis=1)


def entropies(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Returns E `(k,)`, the entropy of intervals `(k, outputs)` over groups of similar outputs.

        U = max(0, max hi) - min(0, min lo), 0.001 where that is 0
        similar(x, y): 1 - (|lo_x - lo_y| + |hi_x - hi_y|) / (2 U) >= 0.9
        p_x = share of outputs similar to x, itself included
        E = -sum_x p_x ln p_x

    It is 0 where all outputs are alike, and not monotone in how different they are.
    """
    extent = np.maximum(hi.max(axis=1), 0) - np.minimum(lo.min(axis=1), 0)
    extent = np.where(extent == 0, 0.001, extent)[:, None, None]
    count, outputs = lo.shape
    shares = np.empty(lo.shape)
    step = max(1, BLOCK_VALUES // max(1, count * outputs))
    for first in range(0, outputs, step):
        part = slice(first, first + step)
        gaps = np.abs(lo[:, part, None] - lo[:, None]) + np.abs(hi[:, part, None] - hi[:, None])
        shares[:, part] = (1 - 0.5 * gaps / extent >= SIMILARITY).sum(axis=-1) / outputs
    return -(shares * np.log(shares)).sum(axis=1)


def pool_scores(
    l1: np.ndarray, entropy: np.ndarray, *, alpha: float, beta: float
) -> np.ndarray:
    """Returns `alpha * L + beta * E` `(k,)`, both scaled to [0, 1] over the pool of candidates.

    Deviation: the published code squeezes both through a sigmoid, which is 1.0 in float64 for
    every L above 37 and so decides nothing on most nets.
    """
    if not np.isfinite(l1).all():
        raise NoBounds("score: the impact is not finite on this model; use score='saliency'")
    return alpha * _scaled(l1) + beta * _scaled(entropy)


def _scaled(values: np.ndarray) -> np.ndarray:
    if not len(values):
        return values
    extent = values.max() - values.min()
    return (values - values.min()) / (extent or 1.0)


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Returns which `count` candidates score lowest `(k,)` bool; ties keep their order."""
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(scores, kind="stable")[:count]] = True
    return chosen


def largest_move(lo: np.ndarray, hi: np.ndarray, chosen: np.ndarray) -> float:
    """Returns how far any output can move when all `chosen` pairs of intervals `(k, outputs)` go.

    Pairs are disjoint, so that the interval of one stays true after another has gone.
    """
    return float(max(np.abs(end[chosen].sum(axis=0)).max(initial=0.0) for end in (lo, hi)))
