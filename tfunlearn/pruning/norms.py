"""The normalisations that follow a layer's channels, and which of their weights are a channel's."""

from __future__ import annotations

from collections.abc import Sequence

from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.layer_types import NORMS, keeps_channels


def norms_behind(graph: Graph, calls: Sequence[Node]) -> list[Node]:
    """Returns the norms that read the channels of `calls` and of nothing else."""
    reached, waiting = {}, graph.readers_of(calls)
    while waiting:
        node = waiting.pop(0)
        if id(node) not in reached:
            reached[id(node)] = node
            if keeps_channels(node.kind):
                waiting += graph.readers_of([node])
    return [node for node in reached.values() if node.kind in NORMS
            and all(id(call) in reached for call in graph.calls(node.layer))]


def norm_axis(node: Node) -> int | None:
    """Returns the axis that has a gamma and beta of its own, the batch axis counted; or None."""
    axes = node.layer.axis if isinstance(node.layer.axis, (list, tuple)) else [node.layer.axis]
    return axes[0] % (len(node.shape) + 1) if len(axes) == 1 else None


def channel_axis(layer, node: Node) -> int:
    """Returns the axis of a layer's channels in what a call of it gives, the batch axis counted."""
    return 1 if is_channels_first(layer) else len(node.shape)


def is_channels_first(layer) -> bool:
    """Tells whether a layer has its channels behind the batch axis, not at the end."""
    return getattr(layer, "data_format", None) == "channels_first"


def norm_entries(graph: Graph, layer) -> list[int]:
    """Returns the entries that, zeroed, make a normalisation emit zero for a channel of zeros.

    Without gamma a BatchNormalization emits -mean / deviation, so its mean goes too.
    """
    weights = [getattr(layer, "gamma", None), getattr(layer, "beta", None)]
    if weights[0] is None:
        weights.append(getattr(layer, "moving_mean", None))
    return [graph.position(weight) for weight in weights if weight is not None]
