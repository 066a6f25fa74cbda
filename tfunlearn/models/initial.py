"""Re-initialization of weights with the initializers of a model's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.models.weight_names import weight_name


def redrawn(model: tf.keras.Model, seed: int, *, places: Sequence[int] | None = None) -> list[Any]:
    """Return re-initialized weights, in the order of `model.get_weights()`.

    Every weight is drawn with its layer's own initializer under another seed; the model is not
    changed. Weights with a constant initializer (biases, scales) get their initial constants.

    Args:
        model: a built Keras model.
        seed: integer >= 0.
        places: indices of the weights to draw, with None for the others; default all.

    Raises:
        UserError: the layer of a weight has no initializer for it.
    """
    found = {}
    for layer in model.submodules if hasattr(model, "submodules") else model._flatten_layers():
        for name, value in vars(layer).items():
            initializer = _initializer_of(layer, name)
            if initializer is not None:
                found.setdefault(id(value), initializer)
    drawn = []
    for place, weight in enumerate(model.weights):
        if places is not None and place not in places:
            drawn.append(None)
            continue
        if id(weight) not in found:
            raise UserError(
                "model: every weight must belong to a layer that has its initializer; "
                f"{weight_name(weight)} has none"
            )
        drawn.append(
            np.asarray(
                _seed_layers(found[id(weight)], seed, place)(tuple(weight.shape), dtype="float32")
            )
        )
    return drawn


def _initializer_of(layer, attribute: str):
    """Return the initializer of a weight attribute, or None.

    Also covers `_kernel`, `depthwise_kernel`, and `kernel` of depthwise layers in Keras 3.
    """
    name = attribute.lstrip("_")
    found = (name, name.removesuffix("_kernel"), *(["depthwise"] if name == "kernel" else []))
    return next(
        (
            own
            for own in (getattr(layer, f"{stem}_initializer", None) for stem in found)
            if own is not None
        ),
        None,
    )


def _seed_layers(initializer, seed: int, place: int):
    """Return the initializer with another seed, or unchanged if it has no seed."""
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": (int(seed) + 7919 * place) % 2**31})
