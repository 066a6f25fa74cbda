"""Loading of user-supplied models from files and folders."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import user_path
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import input_shapes
from tfunlearn.models.files import translate, weights
from tfunlearn.models.files.code import code_in
from tfunlearn.models.files.stored import StoredModel, keras_name, keras_numbers, read_stored

SUFFIXES = (".keras", ".h5")
_allowed = contextvars.ContextVar("code of model files may run", default=False)


@contextlib.contextmanager
def allowing_code() -> Iterator[None]:
    """Allow code embedded in model files (Lambda layers and the like) to run inside the block.

    Loading such a file runs its author's code with all rights of this process; the command line's
    `--allow-code` does the same.
    """
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def is_model_file(name: str) -> bool:
    """Return whether a model name is a file name."""
    return str(name).endswith(SUFFIXES)


def load_model(
    path: str | os.PathLike,
    input_shape: Any = None,
    classes: int | None = None,
    *,
    allow_code: bool | None = None,
    plain: bool = True,
) -> tf.keras.Model:
    """Load a Keras model and check that it fits the data.

    `.keras` and `.h5` files of Keras 2.13 to 2.15, tf_keras 2.16 or later and Keras 3 can be loaded
    with any of these: natively if the Keras in use is as new as the one that wrote the file,
    otherwise by translating the configuration. Untranslatable configurations are rejected.

    Args:
        path: a `.keras` or `.h5` file, or, under Keras 2, a SavedModel folder written by Keras.
        input_shape: required shape of an example, or of several inputs a mapping from name to
            shape; None skips the check.
        classes: required number of outputs; None skips the check.
        allow_code: allow code in the file to run; default None: only within `allowing_code`.
        plain: whether to require one unnamed output; default True.

    Raises:
        UserError: the file is missing, is no Keras model, contains code that is not allowed, cannot
            be expressed in the Keras in use, or does not fit. Code that is not allowed never runs.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # long warnings about policies
    stored = read_stored(user_path(path))
    carried = next(
        itertools.chain(
            code_in(stored.config, strict=_reads_itself(stored)),
            code_in(list(stored.metadata), strict=False),
        ),
        None,
    )
    allowed = _allowed.get() if allow_code is None else allow_code
    if carried is not None and not allowed:
        name, kind = carried
        raise UserError(
            f"model: {path} carries code: '{name}' is {kind}, and loading would run it; "
            "give a file without code, or --allow-code (allow_code=True) if you trust its "
            "source"
        )
    model = _load(stored, has_code=carried is not None)
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise UserError(
            f"model: must be a built Sequential or functional model; {path} has no layer graph "
            "(not built, or a subclass)"
        )
    if plain and not _is_plain(model):
        raise UserError(f"model: must have one unnamed output tensor; {path} has named or several")
    if input_shape is not None or classes is not None:
        require_fit(model, path, input_shape, classes)
    return model


def require_fit(
    model: tf.keras.Model,
    path: str | os.PathLike,
    input_shape: Any,
    classes: int | None,
) -> None:
    """Raise a `UserError` unless a model fits the data; None skips a check."""
    if not _is_plain(model):
        raise UserError(
            "model: must have one unnamed output tensor to be used with data; "
            f"{path} has named or several"
        )
    takes, gives = input_shapes(model), tuple(model.outputs[0].shape[1:])
    if input_shape is not None and not _fits(takes, input_shape):
        raise UserError(f"model: {path} takes examples of {takes}, the data has {input_shape}")
    if classes is not None and gives != (classes,) and (gives, classes) != ((1,), 2):
        raise UserError(f"model: {path} gives outputs of {gives}, the data has {classes} classes")


def _load(stored: StoredModel, has_code: bool) -> tf.keras.Model:
    if stored.path.is_dir() and keras_numbers()[0] != 2:
        raise UserError(
            f"model: {stored.path} is a SavedModel folder, which Keras 3 does not read; "
            "load it under TensorFlow 2.15 or older and save it as .keras"
        )
    native = _reads_itself(stored)
    if has_code and not native:
        raise _unread(stored, "code cannot be carried from one Keras to another")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # differences between Keras versions
            if stored.path.is_dir() and not has_code:
                return _without_program(stored)
            if native:
                safety = {"safe_mode": False} if has_code and not stored.path.is_dir() else {}
                return tf.keras.models.load_model(stored.path, compile=False, **safety)
            if stored.numbers[0] != keras_numbers()[0]:
                translate.require_same_functions(stored.config)
            model = translate.build(stored.config)
            weights.fill(model, stored)
            return model
    except translate.Untranslatable as error:
        raise _unread(stored, " ".join(str(error).split()))
    except Exception as error:  # corrupt files cause errors of many types in Keras
        raise _unread(stored, first_line(error))


def _reads_itself(stored: StoredModel) -> bool:
    """Return whether the Keras in use can load a file without translation.

    Keras 3 loads files of older Keras 3 versions. Keras 2 loads .h5 files of older Keras 2
    versions, but .keras files only of its own version: the layout of their weights changed with
    every release of Keras 2.
    """
    own, theirs = keras_numbers(), stored.numbers
    if own[0] == 2 and stored.path.suffix == ".keras":
        return own == theirs
    return own[0] == theirs[0] and theirs <= own


def _without_program(stored: StoredModel) -> tf.keras.Model:
    """Return the model of a SavedModel folder from its configuration and its variables.

    The functions stored in the folder are not loaded.
    """
    model = tf.keras.layers.deserialize(stored.config)
    status = model.load_weights(stored.path / "variables" / "variables")
    status.expect_partial().assert_existing_objects_matched()
    return model


def _unread(stored: StoredModel, cause: str) -> UserError:
    """Return the error for a file that the Keras in use cannot load."""
    if stored.numbers == keras_numbers() or not stored.version:
        return UserError(
            f"model: {stored.path} is not a Keras model that can be read: "
            f"{keras_name()} fails on it ({cause})"
        )
    return UserError(
        f"model: {stored.path} cannot be read: it was written by {stored.writer}, this is "
        f"{keras_name()} ({cause}); run this command where {stored.writer} is installed, or save "
        "the model again with it, of layers that both have"
    )


def _is_plain(model) -> bool:
    """Return whether a model has one unnamed output tensor."""
    if isinstance(model, tf.keras.Sequential):
        return len(model.outputs) == 1
    ends = model.output
    return not (isinstance(ends, dict) or (isinstance(ends, (list, tuple)) and len(ends) > 1))


def _fits(takes: Any, shape: Any) -> bool:
    """Return whether examples of a shape, or of a shape for each input, are what a model takes."""
    if isinstance(takes, Mapping) or isinstance(shape, Mapping):
        return (
            isinstance(takes, Mapping)
            and isinstance(shape, Mapping)
            and takes.keys() <= shape.keys()
            and all(_fits(own, shape[name]) for name, own in takes.items())
        )
    takes, shape = tuple(takes), tuple(shape)
    return len(takes) == len(shape) and all(
        own in (None, other) for own, other in zip(takes, shape)
    )
