"""Class scores of a Keras model, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfunlearn.core import compute
from tfunlearn.core.images import to_unit_range
from tfunlearn.core.lazy import tf
from tfunlearn.core.parallel import in_order


class OutputsOf:
    """Compute a model's outputs; the model is traced once, even if its weights change.

    Batches run side by side where TensorFlow uses one thread inside an operation.

    Args:
        model: a built Keras model.
        batch_size: images per batch; default 500.
    """

    def __init__(self, model: tf.keras.Model, *, batch_size: int = 500):
        self.model, self.batch_size = model, batch_size
        self._forward = tf.function(
            lambda images: model(to_unit_range(images), training=False),
            autograph=False,
            reduce_retracing=True,
        )

    def __call__(
        self,
        images: np.ndarray,
        weights: Sequence[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> np.ndarray:
        """Return the outputs, `(m, classes)` float32.

        Args:
            images: `(m, height, width, channels)`, uint8 or float32 in [0, 1].
            weights: weights to set on the model first; default its current weights.
            track: wraps the sequence of batches, to show progress.
        """
        if weights is not None:
            self.model.set_weights(weights)
        batches = range(0, len(images), self.batch_size)

        def outputs(first: int) -> np.ndarray:
            return self._forward(images[first : first + self.batch_size]).numpy()

        at_once = min(compute.calls_at_once(), len(batches)) or 1
        return np.concatenate(list(in_order(outputs, track(batches), at_once=at_once)))
