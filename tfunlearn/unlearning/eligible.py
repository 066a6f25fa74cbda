"""Weights of a model that may be reset, and the bounds of their initial distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.lazy import tf
from tfunlearn.models.weight_names import weight_names

INCLUDES = ("kernels+bias", "trainable")
_NORMALISES = "Normalization"  # in the class name of every Keras normalization layer


def eligible_places(
    weights: Sequence[np.ndarray],
    include: str | Callable = "kernels+bias",
    *,
    model: tf.keras.Model | None = None,
) -> list[int]:
    """Return the indices in `weights` of the arrays that may be reset.

    Args:
        weights: as returned by `model.get_weights()`.
        include: `"kernels+bias"` (default): trainable weights except those of normalization layers;
            `"trainable"`: all trainable weights; or a function `(name, array) -> bool`. Neither
            string includes moving statistics.
        model: the Keras model, required if `include` is a string; a function receives the names of
            its weights, or `weight_0`, `weight_1`, ... without a model.

    Raises:
        UserError: an unknown string, a string without a model, or no array left.
    """
    if callable(include):
        names = (
            weight_names(model)
            if model is not None
            else [f"weight_{n}" for n in range(len(weights))]
        )
        places = [n for n, array in enumerate(weights) if include(names[n], array)]
    else:
        require("include", include, include in INCLUDES, f"{', '.join(INCLUDES)}, or a function")
        require("model", None, model is not None, f"the Keras model, with include {include!r}")
        assert model is not None  # checked above
        normal = set() if include == "trainable" else _normalising(model)
        places = [
            n
            for n, weight in enumerate(model.weights)
            if weight.trainable and id(weight) not in normal
        ]
    require("include", include, bool(places), "a selection of at least one weight")
    return places


def initial_bounds(model: tf.keras.Model | None, weights: Sequence[np.ndarray]) -> list[float]:
    """Return the bound of the He uniform distribution of each weight, 0.1 for vectors and scalars.

        sqrt(6 / fan_in)

    fan_in is the product of all axes but the last. As in PyTorch, it is the product of the window
    axes for depthwise kernels and the row width for embeddings. Without a model, every array is
    treated as an ordinary kernel.
    """
    special = {} if model is None else _special_fans(model)
    bounds = []
    for place, array in enumerate(weights):
        shape = np.shape(array)
        if len(shape) < 2:
            bounds.append(0.1)
            continue
        variable = None if model is None else model.weights[place]
        fan_of = special.get(id(variable), lambda shape: math.prod(shape[:-1]))
        bounds.append(math.sqrt(6 / max(1, fan_of(shape))))
    return bounds


def _layers(model: tf.keras.Model) -> list:
    if hasattr(model, "_flatten_layers"):
        return list(model._flatten_layers())
    return list(model.submodules)


def _normalising(model: tf.keras.Model) -> set[int]:
    return {
        id(weight)
        for layer in _layers(model)
        if _NORMALISES in type(layer).__name__
        for weight in layer.weights
    }


def _special_fans(model: tf.keras.Model) -> dict[int, Callable]:
    found = {}
    for layer in _layers(model):
        depthwise = getattr(layer, "depthwise_kernel", None)
        if depthwise is None and type(layer).__name__.startswith("DepthwiseConv"):
            depthwise = layer.kernel
        if depthwise is not None:
            found[id(depthwise)] = lambda shape: math.prod(shape[:-2])
        if isinstance(layer, tf.keras.layers.Embedding):
            found[id(layer.weights[0])] = lambda shape: shape[-1]
    return found
