"""Projected gradient ascent: the forgotten client unlearns near what the others had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require, require_real, require_whole
from tfunlearn.core.images import to_unit_range
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.core.vectors import to_vector
from tfunlearn.models.outputs import ends_in_softmax


@dataclass(frozen=True)
class Ascent:
    """What came of an ascent.

    Attributes:
        weights: the model after it, in the order of `get_weights()`.
        steps: steps that were made.
        accuracy: accuracy on the last batch before its step; None without a batch.
        distance: distance of the trainable weights from where they started.
    """

    weights: list[np.ndarray]
    steps: int
    accuracy: float | None
    distance: float


def trust_radius(
    center: Sequence[np.ndarray], random_models: Sequence[Sequence[np.ndarray]]
) -> float:
    """Returns how far the ascent may go: the root of a third of the mean squared distance.

        radius^2 = mean over random models of |center - random|^2 / 3

    Args:
        center: weights that the ascent starts from.
        random_models: weights of freshly initialised models, 10 in the published code.
    """
    require("random_models", len(random_models), len(random_models) > 0, "at least one model")
    middle = to_vector(center).astype(np.float64)
    squared = [np.sum((middle - to_vector(other)) ** 2) for other in random_models]
    return float(np.sqrt(np.mean(squared) / 3))


def ascend(
    model: tf.keras.Model, start: Sequence[np.ndarray], images: np.ndarray, labels: np.ndarray, *,
    radius: float, lr: float = 0.01, momentum: float = 0.9, clip: float = 5.0,
    batch_size: int = 128, epochs: int = 5, forget_accuracy: float = 0.12,
    rng: np.random.Generator,
) -> Ascent:
    """Maximises the cross-entropy on forgotten examples within a ball around `start`.

    SGD with momentum on the negated loss, gradients clipped to a global norm, and after each step
    the trainable weights drawn back to the ball. It ends as soon as a batch, before its step, is
    classified worse than `forget_accuracy`.

    Args:
        model: the Keras model; its weights are changed meanwhile and set back.
        start: mean of the other clients' last models, the centre of the ball.
        images: `(m, height, width, channels)`, uint8 or float32 in [0, 1].
        labels: `(m,)`.
        radius: of the ball, see `trust_radius`.
        lr: default 0.01, momentum: 0.9, clip: 5, batch_size: 128, epochs: 5 (at most), as in the
            published code.
        forget_accuracy: default 0.12, the threshold that the paper quotes.
        rng: shuffles the examples.

    Raises:
        UserError: a setting out of range, or no examples.

    Reference:
        Halimi et al., "Federated Unlearning: How to Efficiently Erase a Client in FL?"
        (arXiv 2207.05521). Deviation: the published code stops at a squared distance of 2.2 from
        the client's last model, a constant for its net on MNIST; here the paper's threshold on the
        accuracy ends the ascent, read off the batch at hand. Layers work as in inference, so that
        Dropout draws nothing and moving statistics stay.
    """
    for name, value in (("radius", radius), ("lr", lr), ("clip", clip)):
        require_real(name, value, lambda number: number > 0, "a number > 0")
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        require_whole(name, value, 1)
    require("images", len(images), len(images) > 0, "at least one example")
    labels = require_labels(labels, classes=model.outputs[0].shape[-1], count=len(images))
    kept = model.get_weights()
    model.set_weights(start)
    try:
        return _ascend(model, images, labels, _step(model, radius, lr, momentum, clip),
                       [rng.permutation(len(labels)) for _ in range(epochs)], batch_size,
                       forget_accuracy)
    finally:
        model.set_weights(kept)


def _ascend(model, images, labels, step: Callable, orders, batch_size: int, least: float):
    steps, share, distance = 0, None, 0.0
    for order in orders:
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            apply, share = step(tf.constant(images[rows]), tf.constant(labels[rows]))
            if share < least:
                return Ascent(model.get_weights(), steps, share, distance)
            distance, steps = apply(), steps + 1
    return Ascent(model.get_weights(), steps, share, distance)


def _step(model, radius: float, lr: float, momentum: float, clip: float) -> Callable:
    """Returns `(images, labels) -> (apply, accuracy)`; `apply` makes the step that was found."""
    variables = model.trainable_weights
    center = [tf.identity(v) for v in variables]
    speeds = [tf.zeros_like(c) for c in center]
    from_logits = not ends_in_softmax(model)

    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = model(to_unit_range(images), training=False)
            loss = -tf.reduce_mean(tf.keras.losses.sparse_categorical_crossentropy(
                labels, outputs, from_logits=from_logits))
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
    """Projects the weights into the ball and returns their distance from its centre."""
    moved = [v - c for v, c in zip(variables, center)]
    distance = float(tf.linalg.global_norm(moved))
    if distance > radius:
        for variable, start, step in zip(variables, center, moved):
            variable.assign(start + step * (radius / distance))
    return min(distance, radius)
