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


def _plain(variable):
    """Returns TensorFlow's own variable; None where others (casts, replicas) stand before it."""
    own = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", None)
    return own if type(own).__name__ == "ResourceVariable" else None
