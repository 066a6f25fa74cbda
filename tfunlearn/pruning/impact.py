"""Impact of merging unit pairs on the model outputs: intervals, their L1 norm and entropy."""

from __future__ import annotations

import numpy as np

from tfunlearn.pruning.intervals.propagation import Propagation
from tfunlearn.pruning.intervals.stages import Interval, NoBounds
from tfunlearn.pruning.sites import Site

SIMILARITY = 0.9
BLOCK_VALUES = 2**22  # values per block of the table of output pairs in `entropies`


def pair_impacts(
    propagation: Propagation, site: Site, kept: np.ndarray, removed: np.ndarray
) -> Interval:
    """Return bounds on the change of the outputs when each of `k` pairs is merged alone.

    With [lo, hi] the bounds of the units as read by the next Dense layers, removing j in favor
    of i changes the result of such a layer by

        [lo_i - hi_j, hi_i - lo_j] * a_j

    and the outputs by that interval propagated through the rest of the model.

    Args:
        propagation: bounds of the model before the pairs of this layer are merged.
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
        low, high = (
            np.moveaxis(end, -1, 0)[..., None]
            for end in (lo[..., kept] - hi[..., removed], hi[..., kept] - lo[..., removed])
        )
        rows = propagation.weights[entry][removed].astype(np.float64)
        rows = rows.reshape(len(rows), *[1] * (low.ndim - 2), -1)
        starts[node] = np.minimum(low * rows, high * rows), np.maximum(low * rows, high * rows)
    return propagation.difference(starts)


def widths(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Return L `(k,)`, the L1 norm of intervals `(k, outputs)`: the sum of their widths."""
    return (hi - lo).sum(axis=1)


def entropies(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Return E `(k,)`, the entropy of intervals `(k, outputs)` over groups of similar outputs.

        U = max(0, max hi) - min(0, min lo), 0.001 where that is 0
        similar(x, y): 1 - (|lo_x - lo_y| + |hi_x - hi_y|) / (2 U) >= 0.9
        p_x = share of outputs similar to x, itself included
        E = -sum_x p_x ln p_x

    E is 0 if all outputs are similar, and is not monotone in their dissimilarity.
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


def pool_scores(l1: np.ndarray, entropy: np.ndarray, *, alpha: float, beta: float) -> np.ndarray:
    """Return `alpha * L + beta * E` `(k,)`, both scaled to [0, 1] over the pool of candidates.

    Deviation: the published code applies a sigmoid to both, which is 1.0 in float64 for every
    L above 37 and therefore cannot rank pairs on most models.
    """
    if not np.isfinite(l1).all():
        raise NoBounds("score: the impact is not finite on this model; use score='saliency'")
    return alpha * _scale(l1) + beta * _scale(entropy)


def _scale(values: np.ndarray) -> np.ndarray:
    if not len(values):
        return values
    extent = values.max() - values.min()
    return (values - values.min()) / (extent or 1.0)


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return a mask `(k,)` of the `count` lowest-scoring candidates; ties keep their order."""
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(scores, kind="stable")[:count]] = True
    return chosen


def largest_move(lo: np.ndarray, hi: np.ndarray, chosen: np.ndarray) -> float:
    """Return an upper bound on the change of any output when all `chosen` pairs are merged.

    `lo` and `hi` are intervals `(k, outputs)`. Pairs are disjoint, so that the interval of one pair
    stays valid after another is merged.
    """
    return float(max(np.abs(end[chosen].sum(axis=0)).max(initial=0.0) for end in (lo, hi)))
