"""FedMemPrune, second stage: re-initialize the located weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import choose, require, require_whole
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import generator
from tfunlearn.models.initial import redrawn
from tfunlearn.models.weight_names import weight_name
from tfunlearn.unlearning.eligible import initial_bounds


def _own(weights, masks, model, seed) -> list[np.ndarray | None]:
    require("model", None, model is not None, "the Keras model, with rule layer")
    return redrawn(model, seed, places=[n for n, mask in enumerate(masks) if mask.any()])


def _he_uniform(weights, masks, model, seed) -> list[np.ndarray | None]:
    return [
        _uniform(bound, np.shape(weight), generator(seed, "reset", place)) if mask.any() else None
        for place, (weight, mask, bound) in enumerate(
            zip(weights, masks, initial_bounds(model, weights))
        )
    ]


def _uniform(bound: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    drawn = rng.random(shape, np.float32)
    drawn *= np.float32(2 * bound)
    drawn -= np.float32(bound)
    return drawn


def _zeros(weights, masks, model, seed) -> list[np.ndarray]:
    return [np.zeros(np.shape(weight), np.float32) for weight in weights]


RESETS = {"layer": _own, "he_uniform_compat": _he_uniform, "zeros": _zeros}


def reset(
    weights: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    rule: str = "he_uniform_compat",
    seed: int,
    model: tf.keras.Model | None = None,
) -> list[np.ndarray]:
    """Return the weights with the masked entries re-initialized and all others bit-identical.

    Args:
        weights: as returned by `model.get_weights()`.
        masks: a bool array for each array of weights, such as returned by `locate`.
        rule: `"he_uniform_compat"` (default): U(-b, b) with b = sqrt(6 / fan_in) for kernels and
            0.1 for vectors, as in the paper and its code; `"layer"`: each layer's own initializer
            with a new seed, which usually resets biases to zero and scales to one; `"zeros"`.
        seed: seed of the random values, an integer >= 0.
        model: the Keras model; required with rule `layer`, and needed with `he_uniform_compat` for
            the fan_in of depthwise kernels and embeddings.

    Raises:
        UserError: an unknown rule, masks that do not match, a mask on moving statistics, or a layer
            without an initializer.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), section 6.2: Kaiming uniform for convolutions and linear layers.
    """
    draw = choose("rule", rule, RESETS)
    require_whole("seed", seed, 0)
    require(
        "masks",
        f"{len(masks)} masks",
        [np.shape(mask) for mask in masks] == [np.shape(weight) for weight in weights]
        and all(np.asarray(mask).dtype == bool for mask in masks),
        "a bool array of the same shape for each of the weights",
    )
    if model is not None:
        for mask, variable in zip(masks, model.weights):
            require(
                "masks",
                f"entries of {weight_name(variable)}",
                variable.trainable or not mask.any(),
                "trainable weights; moving statistics are never reset",
            )
    fresh: Sequence[Any] = draw(weights, masks, model, seed)
    return [
        np.where(mask, new, weight) if mask.any() else np.array(weight)
        for weight, mask, new in zip(weights, masks, fresh)
    ]
