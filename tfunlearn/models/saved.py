"""Models that the user brings in a file or folder."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import zipfile

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import user_path
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
        path: a `.keras` or `.h5` file, or, under Keras 2, a SavedModel folder that Keras wrote.
        input_shape: `(height, width, channels)` it must take; None skips the check.
        classes: outputs it must have; None skips the check.

    Raises:
        UserError: no such file, not a Keras model, or it does not fit.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # pages about a file's policies
    try:
        model = _read(user_path(path))
    except UserError:
        raise
    except Exception as error:  # Keras raises whatever its readers raise on a corrupt file
        raise UserError(
            f"model: {path} is not a Keras model that can be read ({first_line(error)})")
    if not isinstance(model, tf.keras.Model):
        raise UserError(f"model: {path} is a SavedModel that Keras did not write; allowed are "
                        ".keras files, .h5 files and folders that model.save wrote")
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise UserError(f"model: {path} has no layer graph (not built, or a class of its own); "
                        "allowed are built Sequential and functional models")
    if not _is_plain(model):
        raise UserError(f"model: {path} has named or several inputs or outputs; allowed is one "
                        "plain tensor of each")
    require_fit(model, path, input_shape, classes)
    return model


def require_fit(
    model: tf.keras.Model, path: str | os.PathLike, input_shape: tuple[int, ...] | None,
    classes: int | None,
) -> None:
    """Raises a `UserError` unless a model fits images and classes; None fits all."""
    takes, gives = (tuple(ends[0].shape[1:]) for ends in (model.inputs, model.outputs))
    if input_shape is not None and not _fits(takes, tuple(input_shape)):
        raise UserError(f"model: {path} takes images of {takes}, the data has "
                        f"{tuple(input_shape)}")
    if classes is not None and gives != (classes,):
        raise UserError(f"model: {path} gives outputs of {gives}, the data has {classes} classes")


def _read(path: pathlib.Path):
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise UserError(f"model: folder {path} holds no SavedModel")
        if not _is_keras_2():
            raise UserError(f"model: {path} is a SavedModel folder, which Keras 3 does not read; "
                            "load it under TensorFlow 2.15 or older and save it as .keras")
    elif not path.is_file():
        raise UserError(f"model: no file {path}")
    elif path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise UserError(f"model: {path} is not a Keras model that can be read (no zip archive)")
    if path.suffix == ".h5" and not _is_keras_2():
        model = _old_sequential(path)
        if model is not None:
            return model
    return tf.keras.models.load_model(path, compile=False)


def _is_keras_2() -> bool:
    return getattr(tf.keras, "__version__", "2.").startswith("2.")


def _old_sequential(path: pathlib.Path):
    """Returns a Sequential model whose first layer carries the input's shape, else None.

    Keras wrote such .h5 files up to TensorFlow 2.2; Keras 3 reads the shape wrongly.
    """
    import h5py

    with h5py.File(path) as file:
        written = json.loads(file.attrs["model_config"])
    config = written["config"]
    if written["class_name"] != "Sequential" or not isinstance(config, dict):
        return None
    first = config["layers"][0]
    if first["class_name"] == "InputLayer" or "batch_input_shape" not in first["config"]:
        return None
    shape = first["config"].pop("batch_input_shape")
    config["layers"].insert(0, {"class_name": "InputLayer", "config": {
        "batch_shape": shape, "dtype": first["config"].get("dtype"), "name": "input"}})
    model = tf.keras.Sequential.from_config(config)
    model.load_weights(path)
    return model


def _is_plain(model) -> bool:
    """Tells whether a model takes one tensor and gives one, neither of them named."""
    if isinstance(model, tf.keras.Sequential):
        return len(model.inputs) == len(model.outputs) == 1
    return not any(isinstance(ends, dict) or (isinstance(ends, (list, tuple)) and len(ends) > 1)
                   for ends in (model.input, model.output))


def _fits(takes: tuple, shape: tuple) -> bool:
    return len(takes) == len(shape) and all(
        own in (None, other) for own, other in zip(takes, shape))
