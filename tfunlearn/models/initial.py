"""Initial weights drawn anew, from the initializers that the layers of a model carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf


def redrawn(
    model: tf.keras.Model, seed: int, *, places: Sequence[int] | None = None
) -> list[np.ndarray | None]:
    """Returns weights as they might have been at first, in the order of `model.get_weights()`.

    Every weight comes from its layer's own initializer under another seed; the model stays as it
    is. Weights that start at fixed values (biases, scales) start there again.

    Args:
        model: a built Keras model.
        seed: whole number >= 0.
        places: which weights to draw, None for the others; default all.

    Raises:
        UserError: a weight whose layer does not say how it was initialised.
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
            raise UserError(f"model: weight {weight.name} has no initializer; allowed are layers "
                            "that carry one for every weight")
        drawn.append(np.asarray(_seeded(found[id(weight)], seed, place)(
            tuple(weight.shape), dtype="float32")))
    return drawn


def _initializer_of(layer, attribute: str):
    """Returns the initializer of a weight: `_kernel` and `depthwise_kernel` have theirs too, and
    Keras 3 calls that of a depthwise layer's `kernel` so."""
    name = attribute.lstrip("_")
    found = (name, name.removesuffix("_kernel"), *(["depthwise"] if name == "kernel" else []))
    return next((own for own in (getattr(layer, f"{stem}_initializer", None) for stem in found)
                 if own is not None), None)


def _seeded(initializer, seed: int, place: int):
    """Returns an initializer under another seed, as it is if it draws nothing."""
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": (int(seed) + 7919 * place) % 2**31})
