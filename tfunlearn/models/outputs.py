"""Output type of a model: probabilities or logits."""

from __future__ import annotations

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf


def ends_in_softmax(model: tf.keras.Model) -> bool:
    """Return whether a model outputs probabilities (final softmax) instead of logits.

    Raises:
        UserError: the model ends in another activation, for which cross-entropy is undefined here.
    """
    last = model.layers[-1]
    if isinstance(last, tf.keras.Model):
        return ends_in_softmax(last)
    if isinstance(last, tf.keras.layers.Softmax):
        return True
    activation = getattr(last, "activation", None)
    if activation in (None, tf.keras.activations.linear):
        return False
    if activation is tf.keras.activations.softmax:
        return True
    name = getattr(activation, "__name__", str(activation))
    raise UserError(
        f"model: '{model.name}' must end in softmax or without activation (logits); got {name}"
    )
