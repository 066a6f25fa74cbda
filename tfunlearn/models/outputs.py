"""Class scores of a model: probabilities or logits, one output per class or one for two classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.features import to_unit_range
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import arranged_for


def gives_probabilities(model: tf.keras.Model) -> bool:
    """Return whether a model outputs probabilities instead of logits.

    Probabilities are a final softmax, or a sigmoid of one output, the probability of class 1.

    Raises:
        UserError: the model ends in another activation, for which cross-entropy is undefined here.
    """
    last = model.layers[-1]
    if isinstance(last, tf.keras.Model):
        return gives_probabilities(last)
    units = model.outputs[0].shape[-1]
    if isinstance(last, tf.keras.layers.Softmax):
        return _allowed(model, "softmax", units)
    activation = getattr(last, "activation", None)
    if activation in (None, tf.keras.activations.linear):
        return False
    name = getattr(activation, "__name__", str(activation))
    return _allowed(model, name, units)


def _allowed(model: tf.keras.Model, activation: str, units: int) -> bool:
    if (activation, units == 1) in (("softmax", False), ("sigmoid", True)):
        return True
    raise UserError(
        f"model: '{model.name}' must end in softmax, in one sigmoid output for two classes, or "
        f"without activation (logits); got {activation} of {units} output"
        f"{'s' if units != 1 else ''}"
    )


def classes_of(model: tf.keras.Model) -> int:
    """Return the number of classes of a model; one output stands for two."""
    units = int(model.outputs[0].shape[-1])
    return 2 if units == 1 else units


def class_scores(outputs: Any, probabilities: bool) -> Any:
    """Return outputs `(m, units)` as scores of every class, `(m, classes)`.

    Of one output, the scores are (1 - p, p) for a probability p, and (0, z) for a logit z, whose
    softmax is (1 - p, p) too.
    """
    if outputs.shape[-1] != 1:
        return outputs
    return tf.concat([1 - outputs if probabilities else tf.zeros_like(outputs), outputs], axis=-1)


def scores_of(model: tf.keras.Model) -> Callable[..., Any]:
    """Return the function `(features, training) -> scores (m, classes)` of a model, on tensors."""
    probabilities, arranged = gives_probabilities(model), arranged_for(model)

    def scores(features, training: bool):
        outputs = model(arranged(to_unit_range(features)), training=training)
        return class_scores(outputs, probabilities)

    return scores
