"""Keras models by name or from a model file; all built-in models output logits."""

from __future__ import annotations

import inspect

from tfunlearn.core.errors import UserError, choose, first_line
from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import NORMS
from tfunlearn.models.lenet5 import lenet5
from tfunlearn.models.mlp import mlp
from tfunlearn.models.resnet import resnet18, resnet18_flap, resnet20
from tfunlearn.models.saved import is_model_file, load_model
from tfunlearn.models.vgg11 import vgg11

MODELS = {
    "mlp": mlp,
    "lenet5": lenet5,
    "resnet18": resnet18,
    "resnet18-flap": resnet18_flap,
    "resnet20": resnet20,
    "vgg11": vgg11,
}


def takes_norm(name: str) -> bool:
    """Return whether the named model has a selectable normalization; a model file never has."""
    return not is_model_file(name) and (
        "norm" in inspect.signature(choose("model", name, MODELS)).parameters)


def check_model(name: str, norm: str | None) -> None:
    """Check a model's name and normalization without building the model.

    Raises:
        UserError: the name is unknown, or the model has no selectable normalization.
    """
    has_norm = takes_norm(name)
    if norm is not None:
        choose("norm", norm, NORMS)
    if norm is not None and not has_norm:
        raise UserError(f"norm: '{norm}' with model {name}, which has no norm layer to choose")


def build_model(
    name: str, input_shape: tuple[int, int, int], classes: int, *, seed: int = 0,
    norm: str | None = None,
) -> tf.keras.Model:
    """Return the named model, or the model of a `.keras` or `.h5` file.

    Args:
        name: a key of `MODELS`, or a path that ends in `.keras` or `.h5`.
        input_shape: `(height, width, channels)` of the images.
        classes: number of classes of the data.
        seed: seed of the initial weights; default 0. A model file keeps its own weights.
        norm: `"batch"` or `"group"`; default None, the default of the named model.

    Raises:
        UserError: unknown name, unreadable file, or a model that does not fit the images.
    """
    check_model(name, norm)
    if is_model_file(name):
        return load_model(name, input_shape, classes)
    options = {} if norm is None else {"norm": norm}
    try:
        return MODELS[name](input_shape, classes, seed=seed, **options)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        shape = "x".join(map(str, input_shape))
        raise UserError(f"model: {name} cannot take images of {shape} ({first_line(error)})")
