"""Decomposition of Keras layers into stages; one function per layer type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.intervals.activations import (
    IDENTITY,
    SOFTMAXES,
    elu,
    name_of,
    relu,
    shape_of,
)
from tfunlearn.pruning.intervals.spatial_stages import SPATIAL, channels_last, is_channels_first
from tfunlearn.pruning.intervals.stages import (
    Confined,
    Elementwise,
    Impassable,
    Kink,
    Linear,
    NoBounds,
    Stage,
)
from tfunlearn.pruning.intervals.windows import convolve, depthwise
from tfunlearn.pruning.layer_types import INACTIVE, kind_of

WITHOUT_BOUNDS = "pairs chosen by saliency need none (score='saliency', --score saliency)"
Values = Callable[[Any], np.ndarray]  # variable -> its value, float64


def stages_of(graph: Graph, node: Node, values: Values) -> list[Stage]:
    """Return the stages of a node with one input.

    A final softmax of the model is left out, so that the outputs are logits.

    Raises:
        NoBounds: no bounds can be computed for the layer; the message names it.
    """
    is_last = graph.gives_output([node]) and not graph.readers_of([node])
    try:
        if node.kind in SPATIAL:
            return [SPATIAL[node.kind](node.layer)]
        if node.kind in INACTIVE:
            return []
        if node.kind not in _STAGES:
            raise Impassable()
        return _STAGES[node.kind](node, values, is_last)
    except Impassable as error:
        raise NoBounds(
            f"model: no bounds pass layer '{graph.name_of(node.layer)}' "
            f"({type(node.layer).__name__}{error}); {WITHOUT_BOUNDS}"
        )


def _dense(node, values, is_last) -> list[Stage]:
    layer = node.layer
    return [
        Linear(np.matmul, values(layer.kernel), _shift(layer, values)),
        *_activation(layer.activation, is_last),
    ]


def _conv(node, values, is_last) -> list[Stage]:
    layer = node.layer
    operate = channels_last(
        layer,
        lambda x, kernel: convolve(x, kernel, layer.strides, layer.dilation_rate, layer.padding),
    )
    return [
        Linear(operate, values(layer.kernel), _shift(layer, values)),
        *_activation(layer.activation, is_last),
    ]


def _depthwise(layer):
    return channels_last(
        layer,
        lambda x, kernel: depthwise(x, kernel, layer.strides, layer.dilation_rate, layer.padding),
    )


def _depthwise_conv(node, values, is_last) -> list[Stage]:
    layer = node.layer
    return [
        Linear(_depthwise(layer), values(layer.weights[0]), _shift(layer, values)),
        *_activation(layer.activation, is_last),
    ]


def _separable_conv(node, values, is_last) -> list[Stage]:
    layer = node.layer
    ones = [1] * len(layer.kernel_size)
    point = channels_last(layer, lambda x, kernel: convolve(x, kernel, ones, ones, "valid"))
    return [
        Linear(_depthwise(layer), values(layer.depthwise_kernel)),
        Linear(point, values(layer.pointwise_kernel), _shift(layer, values)),
        *_activation(layer.activation, is_last),
    ]


def _shift(layer, values):
    """Return the bias in the layout of the layer's output."""
    if layer.bias is None:
        return 0.0
    bias = values(layer.bias)
    return bias.reshape(-1, *[1] * len(layer.kernel_size)) if is_channels_first(layer) else bias


def _batch_norm(node, values, is_last) -> list[Stage]:
    layer = node.layer
    axes = np.atleast_1d(layer.axis).tolist()
    if len(axes) > 1:
        raise Impassable(" over several axes")
    (axis,) = axes
    gamma, beta = _gamma_and_beta(layer, values)
    scale = gamma / np.sqrt(values(layer.moving_variance) + layer.epsilon)
    shift = beta - values(layer.moving_mean) * scale
    behind = len(node.shape) - axis if axis > 0 else -1 - axis  # axes after the normalized one
    return [Linear(np.multiply, *(v.reshape(-1, *[1] * behind) for v in (scale, shift)))]


def _layer_norm(node, values, is_last) -> list[Stage]:
    layer, rank = node.layer, len(node.shape)
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = sorted(axis if axis >= 0 else axis + rank + 1 for axis in axes)
    if axes != list(range(rank + 1))[-len(axes) :] or getattr(layer, "rms_scaling", False):
        raise Impassable(" over axes that are not the last ones, or without a mean")
    return _confined_norm(layer, values, [node.shape[axis - 1] for axis in axes])


def _group_norm(node, values, is_last) -> list[Stage]:
    layer = node.layer
    if layer.axis not in (-1, len(node.shape)):
        raise Impassable(" over an axis that is not the last one")
    groups = node.shape[-1] if layer.groups == -1 else layer.groups
    return _confined_norm(layer, values, [*node.shape[:-1], node.shape[-1] // groups])


def _confined_norm(layer, values, normalised: Sequence[int | None]) -> list[Stage]:
    """Return the output range of a normalization.

    n values of mean 0 and variance at most 1 lie within ±sqrt(n - 1).
    """
    if None in normalised:
        raise Impassable(" over an open dimension")
    gamma, beta = _gamma_and_beta(layer, values)
    reach = np.abs(gamma) * math.sqrt(math.prod(cast(Sequence[int], normalised)) - 1)
    return [Confined(beta - reach, beta + reach)]


def _gamma_and_beta(layer, values):
    gamma, beta = getattr(layer, "gamma", None), getattr(layer, "beta", None)
    return (
        np.array(1.0) if gamma is None else values(gamma),
        np.array(0.0) if beta is None else values(beta),
    )


def _rescaling(node, values, is_last) -> list[Stage]:
    layer = node.layer
    return [
        Linear(
            np.multiply, np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
        )
    ]


def _prelu(node, values, is_last) -> list[Stage]:
    return [Kink(values(node.layer.alpha))]


def _activation(activation, is_last: bool) -> list[Stage]:
    """Return the stage of an activation function, or of a layer used as one."""
    kind = kind_of(activation)
    if kind in _RECTIFIERS:
        return _rectifier(activation, kind)
    if kind == "Softmax":
        return _softmax(is_last)
    if name_of(activation) in SOFTMAXES:
        return _softmax(is_last, log="log" in name_of(activation))
    shape = shape_of(activation)
    if shape is None:
        name = getattr(activation, "__name__", type(activation).__name__)
        raise Impassable(f" with activation '{name}'")
    return [] if shape is IDENTITY else [Elementwise(shape)]


def _softmax(is_last: bool, log: bool = False) -> list[Stage]:
    if is_last:
        return []
    if log:
        raise Impassable(" with a log-softmax before the end")
    return [Confined(np.array(0.0), np.array(1.0))]


_RECTIFIERS = {
    "ReLU": lambda layer: relu(
        float(layer.negative_slope), None if layer.max_value is None else float(layer.max_value)
    ),
    # the name of the slope below 0 depends on the Keras version
    "LeakyReLU": lambda layer: relu(
        float(layer.negative_slope if hasattr(layer, "negative_slope") else layer.alpha)
    ),
    "ELU": lambda layer: elu(float(layer.alpha)),
}


def _rectifier(layer, kind: str) -> list[Stage]:
    if getattr(layer, "threshold", 0) or any(
        (getattr(layer, name, 0) or 0) < 0 for name in ("negative_slope", "alpha")
    ):
        raise Impassable(" with a negative slope or a threshold")
    return [Elementwise(_RECTIFIERS[kind](layer))]


_STAGES: dict[str, Callable[[Node, Values, bool], list[Stage]]] = {
    "Dense": _dense,
    "Conv1D": _conv,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "DepthwiseConv1D": _depthwise_conv,
    "DepthwiseConv2D": _depthwise_conv,
    "SeparableConv1D": _separable_conv,
    "SeparableConv2D": _separable_conv,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "Rescaling": _rescaling,
    "PReLU": _prelu,
    "Activation": lambda node, values, is_last: _activation(node.layer.activation, is_last),
    "Softmax": lambda node, values, is_last: _softmax(is_last),
    **{
        kind: lambda node, values, is_last: _rectifier(node.layer, node.kind)
        for kind in _RECTIFIERS
    },
    "Relu": lambda node, values, is_last: [Elementwise(relu())],
}
