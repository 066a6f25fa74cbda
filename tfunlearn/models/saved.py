"""Models that the user brings in a file."""

from __future__ import annotations

import logging
import os
import pathlib

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.lazy import tf

SUFFIXES = (".keras", ".h5")


def is_model_file(name: str) -> bool:
    """Tells whether a model name is a file name."""
    return str(name).endswith(SUFFIXES)


def load_model(
    path: str | os.PathLike, input_shape: tuple[int, ...] | None = None,
    classes: int | None = None,
) -> tf.keras.Model:
    """Loads a Keras model and checks that it fits the data.

    Args:
        path: a `.keras` or `.h5` file.
        input_shape: `(height, width, channels)` it must take; None skips the check.
        classes: outputs it must have; None skips the check.

    Raises:
        UserError: no such file, not a Keras model, or it does not fit.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"model: no file {path}")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # pages about a file's policies
    try:
        model = tf.keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its readers raise on a corrupt file
        raise UserError(
            f"model: {path} is not a Keras model that can be read ({first_line(error)})")
    if isinstance(model.input, (dict, list, tuple)) or isinstance(
            model.output, (dict, list, tuple)):
        raise UserError(f"model: {path} has named or several inputs or outputs; allowed is one "
                        "plain tensor of each")
    if input_shape is not None and not model.inputs[0].shape[1:].is_compatible_with(input_shape):
        raise UserError(f"model: {path} takes images of {tuple(model.inputs[0].shape[1:])}, the "
                        f"data has {tuple(input_shape)}")
    if classes is not None and tuple(model.outputs[0].shape[1:]) != (classes,):
        raise UserError(f"model: {path} gives outputs of {tuple(model.outputs[0].shape[1:])}, the "
                        f"data has {classes} classes")
    return model
