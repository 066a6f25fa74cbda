"""Gradient inversion: reconstruction of images from a client's gradient, or from part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import classes_of, scores_of


@dataclass(frozen=True)
class Reconstruction:
    """Images reconstructed by the adversary.

    Attributes:
        images: float32 `(m, height, width, channels)` in [0, 1].
        distance: 1 - cosine similarity between the gradient of these images and the one sent.
    """

    images: np.ndarray
    distance: float


def gradient_of(
    model: tf.keras.Model, images: np.ndarray, labels: np.ndarray, *, from_logits: bool
) -> list[np.ndarray]:
    """Return the gradient of the mean cross-entropy with respect to each trainable weight.

    Args:
        model: a built Keras model.
        images: float32 `(m, height, width, channels)` in [0, 1].
        labels: `(m,)`.
        from_logits: whether the model's outputs are logits.
    """
    labels = require_labels(labels, classes=classes_of(model), count=len(images))
    with tf.GradientTape() as tape:
        loss = _loss(scores_of(model)(images, False), labels, from_logits)
    return [np.asarray(g) for g in tape.gradient(loss, model.trainable_weights)]


def invert_gradient(
    model: tf.keras.Model,
    gradient: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    rng: np.random.Generator,
    from_logits: bool,
    masks: Sequence[np.ndarray] | None = None,
    steps: int = 500,
    rate: float = 0.1,
    smoothness: float = 1e-4,
) -> Reconstruction:
    """Reconstruct images from their gradient, or from the part of it that was sent.

    Minimizes (1 - cosine similarity) + smoothness x total variation with Adam on the signs of the
    gradient. The learning rate is cut to a tenth after 3/8, 5/8 and 7/8 of the steps; images are
    clipped to [0, 1]. The adversary is assumed to know the labels.

    Args:
        model: the Keras model, with the weights that the client used.
        gradient: one array for each trainable weight.
        labels: labels of the images, `(m,)`.
        rng: generator of the initial images.
        from_logits: whether the model's outputs are logits.
        masks: bool array for each trainable weight, True for entries that were sent; default all.
        steps: number of optimization steps; default 500.
        rate: learning rate; default 0.1.
        smoothness: weight of the total variation; default 1e-4.

    Raises:
        UserError: the masks select no entry.

    Reference:
        Geiping et al., "Inverting Gradients - How easy is it to break privacy in federated
        learning?" (NeurIPS 2020, arXiv 2003.14053).
    """
    sent = [np.ones(g.shape, bool) for g in gradient] if masks is None else masks
    labels = require_labels(labels, classes=classes_of(model))
    require("masks", "no entry", any(mask.any() for mask in sent), "at least one entry")
    parts = [tf.constant(mask, tf.float32) for mask in sent]
    known = [tf.constant(g, tf.float32) * part for g, part in zip(gradient, parts)]
    length = tf.sqrt(sum(tf.reduce_sum(g * g) for g in known))
    shape = (len(labels), *model.inputs[0].shape[1:])
    start: Any = rng.uniform(0, 1, shape).astype(np.float32)
    images = tf.Variable(start)
    moments = [tf.Variable(tf.zeros(shape)) for _ in range(2)]

    @tf.function(autograph=False)
    def step(rate_now, number):
        with tf.GradientTape() as outer:
            outer.watch(images)
            with tf.GradientTape() as inner:
                loss = _loss(scores_of(model)(images, False), labels, from_logits)
            found = cast(list, inner.gradient(loss, model.trainable_weights))
            own = [g * part for g, part in zip(found, parts)]
            product = sum(tf.reduce_sum(a * b) for a, b in zip(own, known))
            norm = tf.sqrt(sum(tf.reduce_sum(g * g) for g in own) + 1e-20)
            distance = 1 - product / tf.maximum(norm * length, 1e-20)
            cost = distance + smoothness * tf.reduce_sum(tf.image.total_variation(images))
        move = tf.sign(cast(Any, outer.gradient(cost, images)))
        moments[0].assign(0.9 * moments[0] + 0.1 * move)
        moments[1].assign(0.999 * moments[1] + 0.001 * move * move)
        first = moments[0] / (1 - 0.9**number)
        second = moments[1] / (1 - 0.999**number)
        images.assign(
            tf.clip_by_value(images - rate_now * first / (tf.sqrt(second) + 1e-8), 0.0, 1.0)
        )
        return distance

    best, best_distance = images.numpy(), np.inf
    for number in range(1, steps + 1):
        before = images.numpy()
        cuts = sum(number > steps * share for share in (3 / 8, 5 / 8, 7 / 8))
        distance = float(
            step(tf.constant(rate * 0.1**cuts, tf.float32), tf.constant(number, tf.float32))
        )
        if distance < best_distance:
            best, best_distance = before, distance
    return Reconstruction(best, best_distance)


def peak_signal_to_noise(images: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Return the PSNR of each image in [0, 1], -10 log10(mean squared error), in dB, `(m,)`."""
    errors = ((images.astype(np.float64) - rebuilt) ** 2).reshape(len(images), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        return -10 * np.log10(errors)


def _loss(outputs, labels, from_logits: bool):
    return tf.reduce_mean(
        tf.keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits=from_logits)
    )
