"""Fast reading and writing of Keras variables."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.lazy import tf


def value_of(variable) -> np.ndarray:
    """Return a copy of a variable's value."""
    plain = _plain(variable)
    if plain is None:
        return variable.numpy()
    return tf.raw_ops.ReadVariableOp(resource=plain.handle, dtype=plain.dtype).numpy()


def set_value(variable, value: np.ndarray) -> None:
    """Set a variable to a value of its shape and dtype."""
    plain = _plain(variable)
    if plain is None:
        variable.assign(value)
    else:  # a third of the time of assign(), which reads the value back
        tf.raw_ops.AssignVariableOp(resource=plain.handle, value=value)


def components(variable) -> list:
    """Return the TensorFlow variables of a weight.

    There is one, or one per device under a distribution strategy that keeps replicas.
    """
    own = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", variable)
    return list(getattr(own, "values", None) or [own])


def averages_of(model) -> list[dict]:
    """Return the moving averages of the model's weights kept by its optimizers.

    Each optimizer with `use_ema` has one mapping from the id of a weight to the variable of its
    average.
    """
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # unwraps a loss-scaling optimizer
    found = []
    for own in getattr(optimizer, "optimizers", None) or [optimizer]:
        averages = getattr(own, "_model_variables_moving_average", None)
        if getattr(own, "use_ema", False) and averages:
            weights = getattr(own, "_trainable_variables", None) or model.trainable_variables
            found.append({id(weight): average for weight, average in zip(weights, averages)})
    return found


def _plain(variable):
    """Return the TensorFlow variable of a weight, or None if it is wrapped (autocast, replicas)."""
    own = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", None)
    return own if type(own).__name__ == "ResourceVariable" else None
