"""Class scores of a Keras model, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfunlearn.core import compute
from tfunlearn.core.features import to_unit_range, unpack
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import arranged_for
from tfunlearn.core.parallel import in_order
from tfunlearn.models.outputs import scores_of


class OutputsOf:
    """Compute a model's outputs; the model is traced once, even if its weights change.

    Batches run side by side where TensorFlow uses one thread inside an operation.

    Args:
        model: a built Keras model.
        batch_size: examples per batch; default 500.
        scores: return class scores, which a model of one output has two of; default True. False
            returns the outputs as they are, such as those of a hidden layer.
    """

    def __init__(self, model: tf.keras.Model, *, batch_size: int = 500, scores: bool = True):
        self.model, self.batch_size = model, batch_size
        arranged = arranged_for(model)
        run = (
            scores_of(model)
            if scores
            else lambda x, training: model(arranged(to_unit_range(x)), training=training)
        )
        self._forward = tf.function(
            lambda features: run(features, False),
            autograph=False,
            reduce_retracing=True,
        )

    def __call__(
        self,
        features: Any,
        weights: Sequence[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> np.ndarray:
        """Return the outputs, `(m, classes)` float32.

        Args:
            features: `(m, ...)`, see `core.features`.
            weights: weights to set on the model first; default its current weights.
            track: wraps the sequence of batches, to show progress.
        """
        if weights is not None:
            self.model.set_weights(weights)
        batches = range(0, len(features), self.batch_size)

        def outputs(first: int) -> np.ndarray:
            return self._forward(unpack(features[first : first + self.batch_size])).numpy()

        at_once = min(compute.calls_at_once(), len(batches)) or 1
        return np.concatenate(list(in_order(outputs, track(batches), at_once=at_once)))
