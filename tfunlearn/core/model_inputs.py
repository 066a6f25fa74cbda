"""Inputs of a model: how many, their names, and the structure in which Keras takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfunlearn.core.lazy import tf


def named_inputs(model: tf.keras.Model) -> dict[str, Any]:
    """Return the input tensors of a model by name: the keys of a mapping, else the tensors' own."""
    taken = _taken(model)
    if isinstance(taken, Mapping):
        return dict(taken)
    return {tensor.name: tensor for tensor in model.inputs}


def input_shapes(model: tf.keras.Model) -> Any:
    """Return the shape of an example: a tuple, or a mapping from input to tuple."""
    found = {name: tuple(tensor.shape[1:]) for name, tensor in named_inputs(model).items()}
    return next(iter(found.values())) if len(found) == 1 else found


def arranged_for(model: tf.keras.Model) -> Callable[[Any], Any]:
    """Return a function that arranges a tensor, or a mapping of tensors, as the model takes them.

    A model takes one tensor, a list of tensors, or a mapping from name to tensor.
    """
    taken, names = _taken(model), list(named_inputs(model))

    def arranged(features: Any) -> Any:
        given = features if isinstance(features, Mapping) else {names[0]: features}
        if isinstance(taken, Mapping):
            return {name: given[name] for name in names}
        return [given[name] for name in names] if len(names) > 1 else given[names[0]]

    return arranged


def input_structure(model: tf.keras.Model) -> Any:
    """Return the model's input tensors in the structure in which it takes them."""
    taken = _taken(model)
    return (model.inputs[0] if len(model.inputs) == 1 else model.inputs) if taken is None else taken


def _taken(model: tf.keras.Model) -> Any:
    return None if isinstance(model, tf.keras.Sequential) else model.input
