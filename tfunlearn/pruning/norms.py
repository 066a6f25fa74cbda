"""Normalization layers after a layer's channels, and their weights for each channel."""

from __future__ import annotations

from collections.abc import Sequence

from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.layer_types import NORMS, keeps_channels


def norms_behind(graph: Graph, calls: Sequence[Node]) -> list[Node]:
    """Return the normalization nodes that read the channels of `calls` and nothing else."""
    reached, waiting = {}, graph.readers_of(calls)
    while waiting:
        node = waiting.pop(0)
        if id(node) not in reached:
            reached[id(node)] = node
            if keeps_channels(node.kind):
                waiting += graph.readers_of([node])
    return [
        node
        for node in reached.values()
        if node.kind in NORMS and all(id(call) in reached for call in graph.calls(node.layer))
    ]


def norm_axis(node: Node) -> int | None:
    """Return the axis with separate gamma and beta values, counting the batch axis, or None."""
    axes = node.layer.axis if isinstance(node.layer.axis, (list, tuple)) else [node.layer.axis]
    return axes[0] % (len(node.shape) + 1) if len(axes) == 1 else None


def channel_axis(layer, node: Node) -> int:
    """Return the axis of a layer's channels in the output of a call, counting the batch axis."""
    return 1 if is_channels_first(layer) else len(node.shape)


def is_channels_first(layer) -> bool:
    """Return whether a layer has its channels directly after the batch axis."""
    return getattr(layer, "data_format", None) == "channels_first"


def norm_entries(graph: Graph, layer) -> list[int]:
    """Return the weights to zero so that a normalization maps an all-zero channel to zero.

    BatchNormalization without gamma outputs -mean / deviation, so its mean is included.
    """
    weights = [getattr(layer, "gamma", None), getattr(layer, "beta", None)]
    if weights[0] is None:
        weights.append(getattr(layer, "moving_mean", None))
    return [graph.position(weight) for weight in weights if weight is not None]
