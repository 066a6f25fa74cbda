"""Loading of a file's weights into a model built from its configuration."""

from __future__ import annotations

import re

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.models.files.stored import CONTAINERS, SEEDS, Group, StoredModel
from tfunlearn.models.files.translate import Untranslatable, own_variables


def fill(model: tf.keras.Model, stored: StoredModel) -> None:
    """Set the weights of a model to those of the file.

    Raises:
        Untranslatable: the weights of model and file do not match one to one.
    """
    filled: set[int] = set()
    if stored.path.suffix == ".h5":
        _fill_by_layer(model, stored.layer_weights(), filled)
    else:
        _fill_model(model, stored.weight_group(), model.name, filled)
    for layer in model._flatten_layers():
        if isinstance(layer, tf.keras.layers.Normalization):
            layer.finalize_state()  # this layer computes with copies of its weights
    for weight in model.weights:
        if id(weight) not in filled:
            raise Untranslatable(f"the file has no value for the weight {weight.name}")


def _fill_by_layer(model, weights: dict[str, list], filled: set[int]) -> None:
    """Set the weights of each layer in the order of `.h5` files: trainable weights first."""
    for layer in model.layers:
        own = [*layer.trainable_weights, *layer.non_trainable_weights]
        stored = weights.pop(layer.name, [])
        _assign(layer.name, own, [array for _, array in stored], filled)
        for variable, (name, _) in zip(own, stored):
            if _last_name(variable) != name and {_last_name(variable), name} <= _NAMES:
                raise Untranslatable(
                    f"layer '{layer.name}' has {_last_name(variable)} where the file has {name}"
                )
    odd = [name for name, stored in weights.items() if stored]
    if odd:
        raise Untranslatable(f"the file has weights of '{odd[0]}', which the model has not")


_NAMES = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}


def _last_name(variable) -> str:
    return variable.name.rpartition("/")[2].partition(":")[0]


def _fill_model(model, group: Group, name: str, filled: set[int]) -> None:
    """Set the weights of a model's layers from the groups of its container.

    Files name a layer by its class and a number; the numbers vary between versions, their order
    does not.
    """
    container = next((group.parts[each] for each in CONTAINERS if each in group.parts), Group())
    left = {key: part for key, part in container.parts.items() if not part.is_empty}
    for layer in model.layers:
        if not layer.weights:
            continue
        stem = _snake(type(layer).__name__)
        fitting = sorted(
            (int(key[len(stem) + 1 :] or 0), key)
            for key in left
            if re.fullmatch(rf"{re.escape(stem)}(_\d+)?", key)
        )
        if not fitting:
            raise Untranslatable(f"the file has no weights for layer '{layer.name}'")
        _fill_layer(layer, left.pop(fitting[0][1]), layer.name, filled)
    if left:
        raise Untranslatable(
            f"the file has weights of '{next(iter(left))}', for which '{name}' has no layer"
        )


def _fill_layer(layer, group: Group, name: str, filled: set[int]) -> None:
    if isinstance(layer, tf.keras.Model):
        _fill_model(layer, group, name, filled)
        return
    if group.arrays:
        _assign(name, own_variables(layer), group.arrays, filled)
    for part, inner in group.parts.items():
        if inner.is_empty or part == SEEDS:
            continue
        attribute = next(
            (
                each
                for each in (part, f"_{part}", part.lstrip("_"))
                if isinstance(getattr(layer, each, None), tf.keras.layers.Layer)
            ),
            None,
        )
        if attribute is None:
            raise Untranslatable(f"layer '{name}' has no part '{part}'")
        _fill_layer(getattr(layer, attribute), inner, f"{name}/{part}", filled)


def _assign(name: str, variables: list, arrays, filled: set[int]) -> None:
    shapes = [[tuple(each.shape) for each in side] for side in (variables, arrays)]
    if shapes[0] != shapes[1]:
        raise Untranslatable(
            f"layer '{name}' has weights of shapes {shapes[0]}, the file has {shapes[1]}"
        )
    for variable, array in zip(variables, arrays):
        variable.assign(np.asarray(array))
    filled.update(map(id, variables))


def _snake(name: str) -> str:
    """Return a class name as in files: `conv2d`, `batch_normalization`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
