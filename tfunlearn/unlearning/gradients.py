"""Mean gradient of a model on a set of examples, without training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.features import unpack
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import classes_of, gives_probabilities, scores_of


def mean_gradient_of(model: tf.keras.Model, *, batch_size: int = 500) -> Callable:
    """Return a function `(images, labels) -> mean gradient` of a model, traced once.

    The function takes features `(m, ...)`, see `core.features`, and labels `(m,)`. It
    returns the gradient of the mean cross-entropy, float64 arrays in the order of
    `get_weights()`; zeros for weights that are not trainable. Layers run in inference mode.

    Args:
        model: a built Keras model.
        batch_size: examples per batch; default 500.

    Raises:
        UserError: raised by the returned function: no examples, or invalid labels.
    """
    variables = cast(list[Any], model.trainable_weights)
    from_logits, scores = not gives_probabilities(model), scores_of(model)

    @tf.function(autograph=False, reduce_retracing=True)
    def gradients_of(images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                tf.keras.losses.sparse_categorical_crossentropy(
                    labels, scores(images, False), from_logits=from_logits
                )
            )
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in found]  # embeddings give slices

    def gradient_of(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        require("images", len(images), len(images) > 0, "at least one example")
        labels = require_labels(labels, classes=classes_of(model), count=len(images))
        total = [np.zeros(variable.shape) for variable in variables]
        for first in range(0, len(images), batch_size):
            last = first + batch_size
            for sum_of, part in zip(
                total, gradients_of(unpack(images[first:last]), labels[first:last])
            ):
                sum_of += part.numpy()
        found = {id(variable): sum_of / len(images) for variable, sum_of in zip(variables, total)}
        weights = cast(list[Any], model.weights)
        return [found.get(id(weight), np.zeros(weight.shape)) for weight in weights]

    return gradient_of
