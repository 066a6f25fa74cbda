"""Projected gradient ascent (PGA): the forgotten client unlearns near the other clients' models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require, require_real, require_whole
from tfunlearn.core.features import unpack
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.core.vectors import to_vector
from tfunlearn.models.outputs import classes_of, gives_probabilities, scores_of


@dataclass(frozen=True)
class Ascent:
    """Result of a gradient ascent.

    Attributes:
        weights: the model after the ascent, in the order of `get_weights()`.
        steps: number of steps.
        accuracy: accuracy on the last batch, before its step; None without a batch.
        distance: distance of the trainable weights from their initial values.
    """

    weights: list[np.ndarray]
    steps: int
    accuracy: float | None
    distance: float


def trust_radius(
    center: Sequence[np.ndarray], random_models: Sequence[Sequence[np.ndarray]]
) -> float:
    """Return the radius of the ball to which the ascent is projected.

        radius^2 = mean over random models of |center - random|^2 / 3

    Args:
        center: initial weights of the ascent.
        random_models: weights of randomly initialized models, 10 in the published code.
    """
    require("random_models", len(random_models), len(random_models) > 0, "at least one model")
    middle = to_vector(center).astype(np.float64)
    squared = [np.sum((middle - to_vector(other)) ** 2) for other in random_models]
    return float(np.sqrt(np.mean(squared) / 3))


def ascend(
    model: tf.keras.Model,
    start: Sequence[np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    radius: float,
    lr: float = 0.01,
    momentum: float = 0.9,
    clip: float = 5.0,
    batch_size: int = 128,
    epochs: int = 5,
    forget_accuracy: float = 0.12,
    rng: np.random.Generator,
) -> Ascent:
    """Maximize the cross-entropy on the forget set within a ball around `start`.

    SGD with momentum on the negated loss, with gradients clipped to a global norm; after each step
    the trainable weights are projected to the ball. The ascent ends when the accuracy on a batch,
    before its step, is below `forget_accuracy`.

    Args:
        model: the Keras model; its weights are restored afterwards.
        start: mean of the other clients' last models, the center of the ball.
        images: `(m, height, width, channels)`, uint8 or float32 in [0, 1].
        labels: `(m,)`.
        radius: radius of the ball, see `trust_radius`.
        lr: learning rate; default 0.01, as in the published code.
        momentum: default 0.9, as in the published code.
        clip: maximum global norm of the gradients; default 5, as in the published code.
        batch_size: examples per step; default 128, as in the published code.
        epochs: maximum number of epochs; default 5, as in the published code.
        forget_accuracy: default 0.12, the threshold given in the paper.
        rng: shuffles the examples.

    Raises:
        UserError: a setting out of range, or no examples.

    Reference:
        Halimi et al., "Federated Unlearning: How to Efficiently Erase a Client in FL?"
        (arXiv 2207.05521). Deviation: the published code stops at a squared distance of 2.2 from
        the client's last model, a constant for its network on MNIST; here the paper's accuracy
        threshold ends the ascent, measured on the current batch. Layers run in inference mode:
        Dropout is inactive and moving statistics are unchanged.
    """
    for name, value in (("radius", radius), ("lr", lr), ("clip", clip)):
        require_real(name, value, lambda number: number > 0, "a number > 0")
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        require_whole(name, value, 1)
    require("images", len(images), len(images) > 0, "at least one example")
    labels = require_labels(labels, classes=classes_of(model), count=len(images))
    kept = model.get_weights()
    model.set_weights(start)
    try:
        return _ascend(
            model,
            images,
            labels,
            _step(model, radius, lr, momentum, clip),
            [rng.permutation(len(labels)) for _ in range(epochs)],
            batch_size,
            forget_accuracy,
        )
    finally:
        model.set_weights(kept)


def _ascend(model, images, labels, step: Callable, orders, batch_size: int, least: float):
    steps, share, distance = 0, None, 0.0
    for order in orders:
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            apply, share = step(
                tf.nest.map_structure(tf.constant, unpack(images[rows])), tf.constant(labels[rows])
            )
            if share < least:
                return Ascent(model.get_weights(), steps, share, distance)
            distance, steps = apply(), steps + 1
    return Ascent(model.get_weights(), steps, share, distance)


def _step(model, radius: float, lr: float, momentum: float, clip: float) -> Callable:
    """Return a function `(images, labels) -> (apply, accuracy)`; `apply` performs the step."""
    variables = model.trainable_weights
    center = [tf.identity(v) for v in variables]
    speeds = [tf.zeros_like(c) for c in center]
    from_logits, scores = not gives_probabilities(model), scores_of(model)

    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = scores(images, False)
            loss = -tf.reduce_mean(
                tf.keras.losses.sparse_categorical_crossentropy(
                    labels, outputs, from_logits=from_logits
                )
            )
        gradients = tape.gradient(loss, variables)
        gradients = [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables)]
        share = float(np.mean(np.argmax(outputs, axis=1) == labels.numpy()))

        def apply() -> float:
            clipped, _ = tf.clip_by_global_norm(gradients, clip)
            for n, (variable, gradient) in enumerate(zip(variables, clipped)):
                speeds[n] = momentum * speeds[n] + gradient
                variable.assign_sub(lr * speeds[n])
            return _draw_back(variables, center, radius)

        return apply, share

    return step


def _draw_back(variables, center, radius: float) -> float:
    """Project the weights to the ball and return their distance from its center."""
    moved = [v - c for v, c in zip(variables, center)]
    distance = float(tf.linalg.global_norm(moved))
    if distance > radius:
        for variable, start, step in zip(variables, center, moved):
            variable.assign(start + step * (radius / distance))
    return min(distance, radius)
