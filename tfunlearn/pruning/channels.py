"""Output channels of Conv and Dense layers and the weights that belong to each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, choose, nearest, require
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.counting import zero_entries
from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.layer_types import has_other_kernel, is_conv, is_dense
from tfunlearn.pruning.norms import channel_axis, norm_axis, norm_entries, norms_behind

PARTS = {  # parameters that belong to an output channel
    "filter": "its slice of the kernel and its bias",
    "filter+bn": "its gamma and beta in the normalisation behind too",
}


@dataclass(frozen=True)
class ChannelLayer:
    """One Conv or Dense layer; all numbers are positions in `model.get_weights()`.

    Attributes:
        layer: name of the layer.
        channels: number of filters or units.
        entries: the weights that have a slice for each channel, along their last axis: kernel,
            bias, and under `filter+bn` those of the normalization.
    """

    layer: str
    channels: int
    entries: tuple[int, ...]


def channel_layers(model: tf.keras.Model | Graph, parts: str = "filter") -> list[ChannelLayer]:
    """Return every Conv1D/2D/3D and Dense layer that leads to the output, in model order.

    Depthwise, separable and transposed convolutions are left out: their kernels have no slice for
    each output channel.

    Args:
        model: a built Sequential or functional model, or its graph.
        parts: parameters of a channel, `"filter"` (default) or `"filter+bn"`.

    Raises:
        UserError: there is no such layer, or a kernel is quantized or adapted (LoRA).
    """
    choose("channel", parts, PARTS)
    graph = model if isinstance(model, Graph) else Graph.of(model)
    found = []
    for name, layer in graph.layers.items():
        if not (is_conv(layer) or is_dense(layer)) or not graph.calls(layer):
            continue
        if has_other_kernel(layer):
            raise UserError(
                f"model: the kernel of layer '{name}' must be a plain variable; it is quantised or "
                "adapted (LoRA)"
            )
        norms = norms_of(graph, layer) if parts == "filter+bn" else []
        weights = [layer.kernel, *([] if layer.bias is None else [layer.bias])]
        entries = [graph.position(weight) for weight in weights]
        for node in norms:
            entries += norm_entries(graph, node.layer)
        found.append(ChannelLayer(name, int(layer.kernel.shape[-1]), tuple(dict.fromkeys(entries))))
    require("model", graph.model.name, bool(found), "a model with a Conv or Dense layer")
    return found


def norms_of(graph: Graph, layer) -> list[Node]:
    """Return the normalization calls that output zero for a channel if its gamma and beta are zero.

    These have one gamma and beta per channel. Without gamma, only BatchNormalization can be
    silenced, by its mean; the other types compute their own mean.
    """
    calls = graph.calls(layer)
    return [
        node
        for node in norms_behind(graph, calls)
        if norm_axis(node) == channel_axis(layer, calls[0])
        and (node.layer.scale or node.kind == "BatchNormalization")
    ]


def named_layers(layers: Sequence[ChannelLayer], names: Sequence[str] | None) -> list[ChannelLayer]:
    """Return the layers with the given names, default all.

    Raises:
        UserError: a name is not among the layers.
    """
    known = {layer.layer: layer for layer in layers}
    for name in names or ():
        if name not in known:
            raise UserError(
                f"layer: no Conv or Dense layer '{name}'{nearest(name, known)} "
                f"(known: {', '.join(known)})"
            )
    return [layer for layer in layers if names is None or layer.layer in names]


def masks_of(
    layers: Sequence[ChannelLayer],
    chosen: Mapping[str, Sequence[int] | np.ndarray],
    shapes: Sequence[Sequence[int]],
) -> list[np.ndarray]:
    """Return masks of the entries of the chosen channels, one bool array per weight.

    Args:
        layers: as returned by `channel_layers`.
        chosen: layer name -> channels; a missing layer has none.
        shapes: shapes of `model.get_weights()`.
    """
    masks = [np.zeros(shape, bool) for shape in shapes]
    for layer in layers:
        for entry in layer.entries:
            masks[entry][..., np.asarray(chosen.get(layer.layer, ()), int)] = True
    return masks


def without_channels(
    weights: Sequence[np.ndarray],
    layers: Sequence[ChannelLayer],
    chosen: Mapping[str, Sequence[int] | np.ndarray],
) -> list[np.ndarray]:
    """Return the weights with the chosen channels zeroed; unchanged weights are the same arrays."""
    new = list(weights)
    for layer in layers:
        removed = np.isin(np.arange(layer.channels), chosen.get(layer.layer, ()))
        if removed.any():
            new = zero_entries(new, layer.entries, removed, np)
    return new
