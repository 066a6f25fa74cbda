"""Keras models by name or from a model file; all built-in models output logits."""

from __future__ import annotations

from typing import Any

from tfunlearn.core.errors import UserError, choose, first_line
from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import NORMS
from tfunlearn.models.lenet5 import lenet5
from tfunlearn.models.mlp import mlp
from tfunlearn.models.model import MODELS, Model, require_takes, shape_in_words
from tfunlearn.models.resnet import resnet18, resnet18_flap, resnet20
from tfunlearn.models.saved import is_model_file, load_model, require_fit
from tfunlearn.models.text_cnn import text_cnn
from tfunlearn.models.transformer import transformer
from tfunlearn.models.vgg11 import vgg11


def takes_norm(name: str) -> bool:
    """Return whether a named net has normalization layers to choose; a file's is what it is."""
    return not is_model_file(name) and "norm" in MODELS.fields(name)


def check_model(name: str, norm: str | None) -> None:
    """Check a model's name and its normalization without building anything.

    Raises:
        UserError: the name is unknown, or the net has no normalization to choose.
    """
    has_norm = takes_norm(name)
    if norm is not None:
        choose("norm", norm, NORMS)
    if norm is not None and not has_norm:
        raise UserError(f"norm: '{norm}' with model {name}, which has no norm layer to choose")


def build_model(
    name: str,
    input_shape: Any,
    classes: int,
    *,
    seed: int = 0,
    norm: str | None = None,
    own: Any = None,
    vocabulary: int | None = None,
) -> tf.keras.Model:
    """Return the named model, or the model of a `.keras` or `.h5` file.

    Args:
        name: a key of `MODELS`, a specification of your own model, or a path that ends in `.keras`
            or `.h5`.
        input_shape: shape of an example, such as `(height, width, channels)`; of several inputs a
            mapping from name to shape.
        classes: number of classes of the data.
        seed: of the initial weights; default 0. A file keeps its own weights.
        norm: `"batch"` or `"group"`; None takes the net's own default.
        own: settings of the model, in place of `norm`; default its defaults.
        vocabulary: number of token ids, for models that embed them; default None: no tokens.

    Raises:
        UserError: unknown name, unreadable file, or a model that does not fit the data.
    """
    if is_model_file(name):
        check_model(name, norm)
        return load_model(name, input_shape, classes)
    model = MODELS.find(name)
    require_takes(model, input_shape, vocabulary)
    if own is None:
        check_model(name, norm)
        own = MODELS.make_settings(name, {} if norm is None else {"norm": norm})
    try:
        built = model.make(input_shape, classes, seed, own, vocabulary)
        return _checked(name, built, input_shape, classes)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"model: {name} cannot take examples of {shape_in_words(input_shape)} "
            f"({first_line(error)}); give another --model, such as mlp"
        )


def _checked(name: str, built: Any, input_shape: Any, classes: int) -> tf.keras.Model:
    """Return a built model, checked.

    Raises:
        UserError: it is not a Sequential or functional Keras model, or does not fit the data.
    """
    if not isinstance(built, tf.keras.Model):
        raise UserError(f"model: {name} must return a keras.Model; got {type(built).__name__}")
    if not getattr(built, "inputs", None) or not getattr(built, "outputs", None):
        raise UserError(
            f"model: {name} must return a built Sequential or functional model; got "
            f"{type(built).__name__} without a layer graph (not built, or a subclass)"
        )
    require_fit(built, name, input_shape, classes)
    return built


__all__ = [
    "MODELS",
    "Model",
    "build_model",
    "check_model",
    "is_model_file",
    "lenet5",
    "load_model",
    "mlp",
    "resnet18",
    "resnet18_flap",
    "resnet20",
    "takes_norm",
    "text_cnn",
    "transformer",
    "vgg11",
]
