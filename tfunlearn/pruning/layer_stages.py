"""Which stages each kind of Keras layer consists of; one function per kind."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.pruning import activations
from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.kinds import INACTIVE
from tfunlearn.pruning.stages import Confined, Elementwise, Kink, Linear, Rearranged, Stage
from tfunlearn.pruning.windows import convolve, depthwise, padded, windows

Values = Callable[[object], np.ndarray]  # variable -> its value, float64


def stages_of(graph: Graph, node: Node, values: Values) -> list[Stage]:
    """Returns the stages of a node with one input.

    A softmax that the model ends in is left out, so that the outputs are logits.

    Raises:
        UserError: the layer is not one that bounds can pass; the message names it.
    """
    is_last = graph.gives_output([node]) and not graph.readers_of([node])
    if node.kind not in _STAGES:
        raise UserError(_refusal(node))
    return _STAGES[node.kind](node, values, is_last)


def known_kinds() -> list[str]:
    """Returns the Keras classes with one input that bounds can pass, sorted."""
    return sorted(_STAGES)


def _refusal(node: Node, why: str = "") -> str:
    layer = node.layer
    return (f"model: no bounds pass layer '{layer.name}' ({type(layer).__name__}{why}); use "
            "score='saliency', which needs none")


def _activation(node: Node, activation, is_last: bool) -> list[Stage]:
    """Returns the stage of an activation function, or of a layer given as one."""
    if "softmax" in getattr(activation, "__name__", ""):
        return _softmax(is_last, log="log" in activation.__name__)
    kind = type(activation).__name__
    if kind in ("ReLU", "LeakyReLU", "ELU"):
        shape = _SHAPES[kind](activation)
    else:
        shape = activations.shape_of(activation)
    if shape is None:
        name = getattr(activation, "__name__", kind)
        raise UserError(_refusal(node, f" with activation '{name}'"))
    return [] if shape is activations.IDENTITY else [Elementwise(shape)]


def _softmax(is_last: bool, log: bool = False) -> list[Stage]:
    if is_last:
        return []
    return [Confined(np.array(-np.inf if log else 0.0), np.array(0.0 if log else 1.0))]


def _dense(node, values, is_last):
    layer = node.layer
    return [Linear(np.matmul, values(layer.kernel), _shift(layer, values)),
            *_activation(node, layer.activation, is_last)]


def _shift(layer, values):
    return 0.0 if layer.bias is None else values(layer.bias)


def _first_axis(layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def _channels_last(layer, operate):
    """Returns `operate`, which wants channels last, for the layout of `layer`."""
    if not _first_axis(layer):
        return operate
    return lambda x, *rest: np.moveaxis(operate(np.moveaxis(x, 1, -1), *rest), -1, 1)


def _shift_of_channels(layer, values):
    shift = _shift(layer, values)
    if _first_axis(layer) and layer.bias is not None:
        return shift.reshape(-1, *[1] * len(layer.kernel_size))
    return shift


def _conv(node, values, is_last):
    layer = node.layer
    operate = _channels_last(layer, lambda x, kernel: convolve(
        x, kernel, layer.strides, layer.dilation_rate, layer.padding))
    return [Linear(operate, values(layer.kernel), _shift_of_channels(layer, values)),
            *_activation(node, layer.activation, is_last)]


def _depthwise_map(layer):
    strides = [max(layer.strides)] * len(layer.kernel_size)
    return _channels_last(layer, lambda x, kernel: depthwise(
        x, kernel, strides, layer.dilation_rate, layer.padding))


def _depthwise_conv(node, values, is_last):
    layer = node.layer
    return [Linear(_depthwise_map(layer), values(layer.weights[0]),
                   _shift_of_channels(layer, values)),
            *_activation(node, layer.activation, is_last)]


def _separable_conv(node, values, is_last):
    layer = node.layer
    ones = [1] * len(layer.kernel_size)
    point = _channels_last(layer, lambda x, kernel: convolve(x, kernel, ones, ones, "valid"))
    return [Linear(_depthwise_map(layer), values(layer.depthwise_kernel)),
            Linear(point, values(layer.pointwise_kernel), _shift_of_channels(layer, values)),
            *_activation(node, layer.activation, is_last)]


def _batch_norm(node, values, is_last):
    layer = node.layer
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    scale = 1 / np.sqrt(values(layer.moving_variance) + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * values(layer.gamma)
    shift = -values(layer.moving_mean) * scale
    if layer.beta is not None:
        shift = shift + values(layer.beta)
    behind = len(node.shape) - axis if axis > 0 else -1 - axis  # axes behind the normalised one
    return [Linear(np.multiply, *(v.reshape(-1, *[1] * behind) for v in (scale, shift)))]


def _layer_norm(node, values, is_last):
    layer = node.layer
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = sorted(axis if axis >= 0 else axis + len(node.shape) + 1 for axis in axes)
    if axes != list(range(len(node.shape) + 1))[-len(axes):] or getattr(
            layer, "rms_scaling", False):
        raise UserError(_refusal(node, " over axes that are not the last ones"))
    return _confined_norm(node, values, [node.shape[axis - 1] for axis in axes])


def _group_norm(node, values, is_last):
    layer = node.layer
    if layer.axis not in (-1, len(node.shape)):
        raise UserError(_refusal(node, " over an axis that is not the last one"))
    groups = node.shape[-1] if layer.groups == -1 else layer.groups
    return _confined_norm(node, values, [*node.shape[:-1], node.shape[-1] // groups])


def _confined_norm(node, values, normalised):
    """n values of mean 0 and variance at most 1 lie within -+ sqrt(n - 1)."""
    if None in normalised:
        raise UserError(_refusal(node, " over an open dimension"))
    layer, reach = node.layer, math.sqrt(math.prod(normalised) - 1)
    gamma, beta = (values(weight) if weight is not None else default for weight, default in (
        (getattr(layer, "gamma", None), 1.0), (getattr(layer, "beta", None), 0.0)))
    return [Confined(beta - np.abs(gamma) * reach, beta + np.abs(gamma) * reach)]


def _pooled(layer, x, fill: float) -> list[np.ndarray]:
    """Returns what lies at each place of the pooling windows, one array `(batch, ...)` a place."""
    sizes = np.atleast_1d(layer.pool_size).tolist()
    strides = np.atleast_1d(layer.strides if layer.strides is not None else sizes).tolist()
    ones = [1] * len(sizes)
    view = windows(padded(x, sizes, strides, ones, layer.padding, fill), sizes, strides, ones)
    return [view[(..., *place)] for place in np.ndindex(*sizes)]


def _max_pool(node, values, is_last):
    layer = node.layer
    highest = _channels_last(layer, lambda x: functools.reduce(
        np.maximum, _pooled(layer, x, -np.inf)))
    lowest = _channels_last(layer, lambda x: functools.reduce(
        np.minimum, _pooled(layer, x, np.inf)))
    return [Rearranged(highest, highest, lowest)]


def _average_pool(node, values, is_last):
    layer = node.layer

    def average(x, scale):
        inside = functools.reduce(np.add, _pooled(layer, np.ones((1, *x.shape[1:-1], 1)), 0.0))
        return functools.reduce(np.add, _pooled(layer, x, 0.0)) * (scale / inside)

    return [Linear(_channels_last(layer, average), np.array(1.0))]


def _global(node, reduce):
    """Returns `reduce(x, axes)` over all spatial axes of the layer's layout."""
    layer = node.layer

    def over_space(x):
        axes = tuple(range(2, x.ndim)) if _first_axis(layer) else tuple(range(1, x.ndim - 1))
        return reduce(x, axes, keepdims=layer.keepdims)

    return over_space


def _global_max(node, values, is_last):
    return [Rearranged(_global(node, np.max), None, _global(node, np.min))]


def _global_average(node, values, is_last):
    average = _global(node, np.mean)
    return [Linear(lambda x, scale: average(x) * scale, np.array(1.0))]


def _rescaling(node, values, is_last):
    layer = node.layer
    return [Linear(np.multiply, np.asarray(layer.scale, np.float64),
                   np.asarray(layer.offset, np.float64))]


def _flatten(node, values, is_last):
    return [Rearranged(lambda x: (np.moveaxis(x, 1, -1) if _first_axis(node.layer) and x.ndim > 2
                                  else x).reshape(len(x), -1))]


def _reshape(node, values, is_last):
    return [Rearranged(lambda x: x.reshape(len(x), *node.layer.target_shape))]


def _permute(node, values, is_last):
    return [Rearranged(lambda x: np.transpose(x, (0, *node.layer.dims)))]


def _zero_padding(node, values, is_last):
    widths = np.reshape(node.layer.padding, (-1, 2)).tolist()
    return [Rearranged(_channels_last(node.layer, lambda x: np.pad(
        x, [(0, 0), *widths, (0, 0)])))]


def _cropping(node, values, is_last):
    cuts = np.reshape(node.layer.cropping, (-1, 2)).tolist()
    return [Rearranged(_channels_last(node.layer, lambda x: x[(slice(None), *(
        slice(before, length - after) for (before, after), length in zip(cuts, x.shape[1:]))
    )]))]


def _up_sampling(node, values, is_last):
    layer = node.layer
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise UserError(_refusal(node, f" with {layer.interpolation} interpolation"))
    sizes = np.atleast_1d(layer.size).tolist()
    return [Rearranged(_channels_last(layer, lambda x: functools.reduce(
        lambda part, axis: np.repeat(part, sizes[axis - 1], axis),
        range(1, len(sizes) + 1), x)))]


def _prelu(node, values, is_last):
    return [Kink(values(node.layer.alpha))]


def _slope_below(layer) -> float:
    """Returns the slope of a leaky ReLU layer, which each Keras keeps under its own name."""
    return float(layer.negative_slope if hasattr(layer, "negative_slope") else layer.alpha)


_SHAPES = {
    "ReLU": lambda layer: activations.relu(
        float(layer.negative_slope), None if layer.max_value is None else float(layer.max_value)),
    "LeakyReLU": lambda layer: activations.relu(_slope_below(layer)),
    "ELU": lambda layer: activations.elu(float(layer.alpha)),
}


def _rectifier(node, values, is_last):
    layer = node.layer
    shape = _SHAPES[node.kind](layer)
    if shape.slopes[0] < 0 or getattr(layer, "threshold", 0):
        raise UserError(_refusal(node, " with a negative slope or a threshold"))
    return [Elementwise(shape)]


def _nothing(node, values, is_last):
    return []


_STAGES: dict[str, Callable[[Node, Values, bool], list[Stage]]] = {
    "Dense": _dense,
    "Conv1D": _conv, "Conv2D": _conv, "Conv3D": _conv,
    "DepthwiseConv1D": _depthwise_conv, "DepthwiseConv2D": _depthwise_conv,
    "SeparableConv1D": _separable_conv, "SeparableConv2D": _separable_conv,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm, "GroupNormalization": _group_norm,
    "MaxPooling1D": _max_pool, "MaxPooling2D": _max_pool, "MaxPooling3D": _max_pool,
    "AveragePooling1D": _average_pool, "AveragePooling2D": _average_pool,
    "AveragePooling3D": _average_pool,
    "GlobalMaxPooling1D": _global_max, "GlobalMaxPooling2D": _global_max,
    "GlobalMaxPooling3D": _global_max,
    "GlobalAveragePooling1D": _global_average, "GlobalAveragePooling2D": _global_average,
    "GlobalAveragePooling3D": _global_average,
    "Rescaling": _rescaling, "Flatten": _flatten, "Reshape": _reshape, "Permute": _permute,
    "ZeroPadding1D": _zero_padding, "ZeroPadding2D": _zero_padding, "ZeroPadding3D": _zero_padding,
    "Cropping1D": _cropping, "Cropping2D": _cropping, "Cropping3D": _cropping,
    "UpSampling1D": _up_sampling, "UpSampling2D": _up_sampling, "UpSampling3D": _up_sampling,
    "Activation": lambda node, values, is_last: _activation(
        node, node.layer.activation, is_last),
    "Softmax": lambda node, values, is_last: _softmax(is_last),
    "ReLU": _rectifier, "LeakyReLU": _rectifier, "ELU": _rectifier, "PReLU": _prelu,
    "Relu": lambda node, values, is_last: [Elementwise(activations.relu())],
    **{kind: _nothing for kind in INACTIVE},
}
