"""What a model's outputs are."""

from __future__ import annotations

from tfunlearn.core.lazy import tf


def ends_in_softmax(model: tf.keras.Model) -> bool:
    """Tells whether the model gives probabilities (softmax at its end) instead of logits."""
    last = model.layers[-1]
    if isinstance(last, tf.keras.layers.Softmax):
        return True
    return getattr(last, "activation", None) is tf.keras.activations.softmax
