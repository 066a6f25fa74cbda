"""Pair pruning exactly as in the code published with FLAP, for comparison with its runs.

Deviation: none intended; where that code departs from the paper, this file follows the code.
It supports only chains of Dense layers: layers before the first Dense layer are ignored, and the
units of the first Dense layer are assumed to lie in the input range.

Reference:
    The code of Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model
    Pruning".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.impact import entropies, widths
from tfunlearn.pruning.intervals.stages import Interval
from tfunlearn.pruning.layer_types import INACTIVE, is_dense


@dataclass(frozen=True)
class Link:
    """One Dense layer of the chain: name, weight positions, and whether its activation is ReLU."""

    layer: str
    kernel: int
    bias: int | None
    is_relu: bool


def dense_chain(graph: Graph) -> list[Link]:
    """Return the Dense layers of a model, each of which is read only by the next one.

    Raises:
        UserError: they do not form a chain, or layers other than Dropout and the like lie between.
    """
    nodes = [node for node in graph.nodes if is_dense(node.layer)]
    for node, following in zip(nodes, nodes[1:]):
        readers = graph.readers_of([node])
        while len(readers) == 1 and readers[0].kind in INACTIVE:
            readers = graph.readers_of(readers)
        if readers != [following] or len(graph.calls(node.layer)) > 1:
            names = ", ".join(f"'{graph.name_of(reader.layer)}'" for reader in readers) or "nothing"
            raise UserError(
                "compat: 'flap' needs a chain of Dense layers with nothing but Dropout between "
                f"them; '{graph.name_of(node.layer)}' is read by {names}"
            )
    return [
        Link(
            graph.name_of(node.layer),
            graph.position(node.layer.kernel),
            graph.position(node.layer.bias),
            getattr(node.layer.activation, "__name__", "") == "relu",
        )
        for node in nodes
    ]


def published_count(units: int, fraction: float) -> int:
    """Return the number of pairs, `ceil(fraction * units)`, including floating-point errors."""
    return math.ceil(fraction * units)


def published_impacts(
    chain: list[Link],
    weights: list[np.ndarray],
    number: int,
    kept: np.ndarray,
    removed: np.ndarray,
    first: tuple[float, float],
) -> Interval:
    """Return the output intervals `(k, outputs)` of pairs of Dense layer `number`.

    Args:
        chain: all Dense layers.
        weights: weights of the model with the layers before this one already pruned.
        number: index of the layer in the chain.
        kept, removed: the pairs `(k,)`.
        first: range assumed for every unit of the first layer.
    """
    lo, hi = _unit_bounds(chain, weights, number, first)
    rows = weights[chain[number + 1].kernel][kept].astype(np.float64)
    low, high = (end[:, None] * rows for end in (lo[kept] - hi[removed], hi[kept] - lo[removed]))
    interval = np.where(rows < 0, high, low), np.where(rows < 0, low, high)
    for place in range(number + 2, len(chain)):
        interval = _affine(interval, chain[place], weights)
        if place < len(chain) - 1:
            low, high = (
                np.maximum(end, 0) if chain[place - 1].is_relu else _sigmoid(end)
                for end in interval
            )
            interval = low, high
    return interval


def published_scores(interval: Interval, *, alpha: float, beta: float):
    """Return L, E and `alpha * sigmoid(L) + beta * sigmoid(E)`, each `(k,)`."""
    l1, entropy = widths(*interval), entropies(*interval)
    return l1, entropy, alpha * _sigmoid(l1) + beta * _sigmoid(entropy)


def _unit_bounds(chain, weights, number: int, first) -> Interval:
    """Return bounds of a layer's units; a ReLU layer's upper end may be below its lower end."""
    units = weights[chain[0].kernel].shape[-1]
    interval = np.full(units, float(first[0])), np.full(units, float(first[1]))
    for link in chain[1 : number + 1]:
        lo, hi = _affine(interval, link, weights)
        interval = (np.zeros_like(lo), hi) if link.is_relu else (_sigmoid(lo), _sigmoid(hi))
    return interval


def _affine(interval: Interval, link: Link, weights) -> Interval:
    lo, hi = interval
    kernel = weights[link.kernel].astype(np.float64)
    bias = 0.0 if link.bias is None else weights[link.bias].astype(np.float64)
    rising, falling = np.maximum(kernel, 0), np.minimum(kernel, 0)
    return lo @ rising + hi @ falling + bias, hi @ rising + lo @ falling + bias


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))
