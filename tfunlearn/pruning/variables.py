"""Values of Keras variables, read and set by the shortest way that each kind allows."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.lazy import tf


def value_of(variable) -> np.ndarray:
    """Returns a copy of a variable's value."""
    plain = _plain(variable)
    if plain is None:
        return variable.numpy()
    return tf.raw_ops.ReadVariableOp(resource=plain.handle, dtype=plain.dtype).numpy()


def set_value(variable, value: np.ndarray) -> None:
    """Sets a variable to a value of its shape and type."""
    plain = _plain(variable)
    if plain is None:
        variable.assign(value)
    else:  # a third of the time of assign(), which reads the value back
        tf.raw_ops.AssignVariableOp(resource=plain.handle, value=value)


def components(variable) -> list:
    """Returns TensorFlow's own variables of a weight: one, or one on each device where a
    distribution strategy keeps copies of it."""
    own = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", variable)
    return list(getattr(own, "values", None) or [own])


def averages_of(model) -> list[dict]:
    """Returns the moving averages that the model's optimizers keep of its weights, each optimizer's
    as a mapping from the id of a weight to the variable of its average; none without `use_ema`."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    found = []
    for own in getattr(optimizer, "optimizers", None) or [optimizer]:
        averages = getattr(own, "_model_variables_moving_average", None)
        if getattr(own, "use_ema", False) and averages:
            weights = getattr(own, "_trainable_variables", None) or model.trainable_variables
            found.append({id(weight): average for weight, average in zip(weights, averages)})
    return found


def _plain(variable):
    """Returns TensorFlow's own variable; None where others (casts, replicas) stand before it."""
    own = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", None)
    return own if type(own).__name__ == "ResourceVariable" else None
