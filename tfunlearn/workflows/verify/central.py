"""Centralized training, step by step, for attacks that train models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.features import unpack
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import generator, integers
from tfunlearn.models.outputs import gives_probabilities, scores_of

_KERAS = {
    "sgd": lambda lr: tf.keras.optimizers.SGD(lr),
    "momentum": lambda lr: tf.keras.optimizers.SGD(lr, momentum=0.9),
    "adamw": lambda lr: tf.keras.optimizers.AdamW(lr, weight_decay=0.004),
}


class CentralTraining:
    """Centralized training of a Keras model, in place.

    Args:
        model: the model.
        optimizer: optimizer name as in `ClientTraining`; Adam replaces `fisher`.
        lr: learning rate.
        batch_size: examples per step.
    """

    def __init__(self, model: tf.keras.Model, *, optimizer: str, lr: float, batch_size: int):
        self._model, self._batch = model, batch_size
        made = _KERAS.get(optimizer, lambda lr: tf.keras.optimizers.Adam(lr))(lr)
        made.build(model.trainable_variables)
        found: Any = made.variables  # a method in Keras 2
        slots: Any = found() if callable(found) else found
        self._slots = list(slots)
        self._fresh = [slot.numpy() for slot in self._slots]
        from_logits, scores = not gives_probabilities(model), scores_of(model)

        @tf.function(autograph=False, reduce_retracing=True)
        def step(features, labels):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    tf.keras.losses.sparse_categorical_crossentropy(
                        labels, scores(features, True), from_logits=from_logits
                    )
                )
            made.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            )

        self._step = step

    def steps(
        self,
        weights: Sequence[np.ndarray],
        features: Any,
        labels: np.ndarray,
        *,
        seed: int,
        epochs: int,
    ) -> Iterator[int]:
        """Set the weights and train; yield the number of completed steps after each step.

        Args:
            weights: initial weights.
            features: training examples, `(n, ...)`.
            labels: their labels.
            seed: seed of shuffles and random layers.
            epochs: number of epochs.
        """
        self._model.set_weights(weights)
        for slot, value in zip(self._slots, self._fresh):
            slot.assign(value)
        tf.random.set_seed(int(integers(seed, "central random layers")[0]))
        rng, done = generator(seed, "central shuffle"), 0
        for _ in range(epochs):
            order = rng.permutation(len(labels))
            for first in range(0, len(order), self._batch):
                rows = order[first : first + self._batch]
                self._step(unpack(features[rows]), labels[rows])
                done += 1
                yield done
