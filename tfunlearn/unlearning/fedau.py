"""FedAU: interpolation of the head with an auxiliary head trained on random labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require, require_real, require_whole
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf

Head = tuple[np.ndarray, ...]  # kernel (features, classes) and bias (classes,)


def head_places(model: tf.keras.Model) -> tuple[int, int]:
    """Return the indices of the last Dense layer's kernel and bias in `model.get_weights()`.

    Raises:
        UserError: the model does not end in a Dense layer with a bias (a Softmax or Activation
            layer may follow).
    """
    layer = head_layer(model)
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    return places[id(layer.kernel)], places[id(layer.bias)]


def head_layer(model: tf.keras.Model) -> tf.keras.layers.Layer:
    """Return the final Dense layer, the head of the model; raises as `head_places`."""
    layers = [
        layer
        for layer in model.layers
        if not isinstance(layer, (tf.keras.layers.Softmax, tf.keras.layers.Activation))
    ]
    fits = bool(layers) and isinstance(layers[-1], tf.keras.layers.Dense) and layers[-1].use_bias
    require("model", model.name, fits, "a model that ends in a Dense layer with a bias, for fedau")
    require(
        "model",
        f"{model.name} with one output",
        layers[-1].units > 1,
        "a model with an output for each class, for fedau",
    )
    return layers[-1]


def train_head(
    features: np.ndarray,
    labels: np.ndarray,
    head: Head,
    *,
    lr: float = 0.01,
    momentum: float = 0.9,
    epochs: int = 5,
    batch_size: int = 128,
    rng: np.random.Generator,
) -> Head:
    """Return a linear head trained on frozen features with softmax cross-entropy and SGD.

    Args:
        features: inputs of the last layer, `(m, f)`.
        labels: wrong labels, `(m,)`.
        head: initial kernel `(f, classes)` and bias `(classes,)`.
        lr: learning rate; default 0.01.
        momentum: momentum of SGD; default 0.9.
        epochs: training epochs; default 5.
        batch_size: examples per step; default 128.
        rng: shuffles the examples.

    Raises:
        UserError: a setting out of range, or no examples.
    """
    require("features", len(features), len(features) > 0, "at least one example")
    labels = require_labels(labels, classes=np.shape(head[1])[0], count=len(features))
    require_real("lr", lr, lambda value: value > 0, "a number > 0")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        require_whole(name, value, 1)
    kernel, bias = (np.array(part, np.float64) for part in head)
    speeds = [np.zeros_like(kernel), np.zeros_like(bias)]
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            inputs = features[rows].astype(np.float64)
            errors = _softmax(inputs @ kernel + bias)
            errors[np.arange(len(rows)), labels[rows]] -= 1
            errors /= len(rows)
            for speed, weight, gradient in zip(
                speeds, (kernel, bias), (inputs.T @ errors, errors.sum(axis=0))
            ):
                speed *= momentum
                speed += gradient
                weight -= lr * speed
    return kernel.astype(np.float32), bias.astype(np.float32)


def combine_heads(head: Head, auxiliary: Sequence[Head], *, alpha: float | None = 0.5) -> Head:
    """Return the unlearned head.

        (1 - alpha) W1 + alpha mean(W2),    or for classes    W1 - mean(W2)

    Args:
        head: W1, kernel and bias.
        auxiliary: W2, the auxiliary head of each forgotten client.
        alpha: weight of the auxiliary heads, 0 to 1; default 0.5. None for class unlearning, where
            W2 should have been initialized with zeros.

    Raises:
        UserError: `alpha` out of range, or no auxiliary head.

    Reference:
        Gu et al., "Unlearning during Learning: An Efficient Federated Machine Unlearning Method"
        (IJCAI 2024, arXiv 2405.15474), FedAU. Deviation: there, alpha is 0.9 and part of the
        training; applied after training, 0.9 costs half of a LeNet-5's accuracy when a benign
        client is forgotten.
    """
    require("auxiliary", len(auxiliary), len(auxiliary) > 0, "at least one auxiliary head")
    if alpha is not None:
        require_real("alpha", alpha, lambda value: 0 <= value <= 1, "a number from 0 to 1")
    second = [
        np.mean([np.asarray(one[part], np.float64) for one in auxiliary], axis=0) for part in (0, 1)
    ]
    return tuple(
        (own - other if alpha is None else (1 - alpha) * own + alpha * other).astype(np.float32)
        for own, other in zip(head, second)
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
