"""Loading of a run from its directory."""

from __future__ import annotations

import collections
import contextlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfunlearn.config.reading import METHOD_FIELDS, read_config, read_table, run_config
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core import compute
from tfunlearn.core.errors import UserError
from tfunlearn.core.families import require_origin, require_same
from tfunlearn.core.files import checksum
from tfunlearn.core.lazy import tf
from tfunlearn.defenses import DEFENSES
from tfunlearn.engines import tff_is_usable
from tfunlearn.local_training.state import ServerState
from tfunlearn.models.files.stored import stored_arrays
from tfunlearn.models.saved import load_model
from tfunlearn.runs.run_directory import RunDirectory, open_run_directory


def open_run(
    run: str | os.PathLike, data_dir: str | None = None, *, reading: bool = False
) -> tuple[RunDirectory, RunConfig, ServerState, tf.keras.Model]:
    """Return directory, configuration, last state and model of a run.

    Args:
        run: the run directory.
        data_dir: folder of the data set; default the one in the run's configuration.
        reading: whether rule and defenses will not be used, so that a changed file of one of them
            is a warning only.

    Raises:
        UserError: no run there, or a damaged file.
    """
    directory = open_run_directory(run)
    config = stored_config(directory, data_dir, reading=reading)
    compute.prepare(config.compute.threads_per_client)
    model, state = load_model(directory.model), directory.read_state()
    if [w.shape for w in model.get_weights()] != [w.shape for w in state.weights]:
        raise UserError(f"run: {directory.checkpoint} does not fit {directory.model}")
    settled = len(directory.read_metrics()) == state.finished  # otherwise a round is being written
    ended = directory.unlearning.exists() or state.finished == config.training.rounds
    if settled and ended and not is_model_of(directory, state, model):
        raise UserError(
            f"run: {directory.model} is not the model of {directory.checkpoint}; "
            f"tfunlearn resume {directory.path} repairs it"
        )
    model.set_weights(state.weights)
    return directory, config, state, model


def read_run(
    run: str | os.PathLike, data_dir: str | None = None, *, reading: bool = False
) -> tuple[RunDirectory, RunConfig, ServerState]:
    """Return directory, configuration and last state of a run, without importing TensorFlow.

    The checks are those of `open_run`, except that the model file is checked by its stored arrays;
    Keras loads it only if they are not those of the checkpoint.

    Args:
        run: the run directory.
        data_dir: folder of the data set; default the one in the run's configuration.
        reading: as for `open_run`.

    Raises:
        UserError: no run there, or a damaged file.
    """
    directory = open_run_directory(run)
    config = stored_config(directory, data_dir, reading=reading)
    with contextlib.suppress(UserError):  # open_run names the damaged file
        state = directory.read_state()
        if _holds(directory, state):
            return directory, config, state
    return open_run(run, data_dir, reading=reading)[:3]


def _holds(directory: RunDirectory, state: ServerState) -> bool:
    """Return whether the arrays in the model file are the weights of a state, in any order.

    The order of a model's weights is known to Keras only.
    """
    return collections.Counter(map(_bits, stored_arrays(directory.model))) == (
        collections.Counter(map(_bits, state.weights))
    )


def _bits(array: np.ndarray) -> tuple:
    return array.dtype.str, array.shape, array.tobytes()


def load_with(directory: RunDirectory, state: ServerState) -> tf.keras.Model:
    """Return the model of a run with the weights of a state."""
    model = load_model(directory.model)
    model.set_weights(state.weights)
    return model


def is_model_of(
    directory: RunDirectory, state: ServerState, model: tf.keras.Model | None = None
) -> bool:
    """Return whether the model file, loaded as `model` if given, holds the weights of a state."""
    try:
        weights = (load_model(directory.model) if model is None else model).get_weights()
    except UserError:
        return False
    return len(weights) == len(state.weights) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(weights, state.weights)
    )


def stored_config(
    directory: RunDirectory, data_dir: str | None = None, *, reading: bool = False
) -> RunConfig:
    """Return the configuration of a run; `data_dir` replaces the folder of its data set.

    With `reading`, a changed file of a rule or defense is a warning, see `open_run`.

    Raises:
        UserError: it is damaged, or a method of the run is missing or has changed.
    """
    stored = read_table(str(directory.config))
    origins = stored.get("origins", [])
    if not _are_origins(origins):
        raise UserError(f"run: {directory.config} is damaged (origins); put back the original")
    changed = [origin for origin in origins if reading and _is_unused(origin)]
    for origin in origins:
        if origin not in changed:
            require_origin(
                origin["field"], origin, METHOD_FIELDS[origin["field"]], directory.methods
            )
    fields = read_config(str(directory.config))
    for name, method in DEFENSES.items():  # runs of earlier builds keep their meaning
        if name in _names(fields.get("defense")) and not method.earlier.keys() <= fields.keys():
            fields = {**method.earlier, **fields}
    if fields.get("engine") == "tff" and not tff_is_usable():
        warnings.warn(
            "the run names the engine tff, which is not installed; tensorflow takes its place: the "
            "same arithmetic, but last bits may differ",
            stacklevel=2,
        )
        fields = {**fields, "engine": "auto"}
    for origin in changed:
        warnings.warn(
            f"{origin['field']}: {origin['file']} has changed since the run", stacklevel=2
        )
    try:
        config = run_config(**{**fields, **({"data_dir": data_dir} if data_dir else {})})
    except UserError:
        for origin in changed:  # what it was is the reason, and is said with its copy
            require_origin(
                origin["field"], origin, METHOD_FIELDS[origin["field"]], directory.methods
            )
        raise
    named = sorted((field, origin.name) for field, origin in config.origins())
    if named != sorted((origin["field"], origin["name"]) for origin in origins):
        raise UserError(
            f"run: {directory.config} is damaged (origins): it names "
            f"{', '.join(f'{field} {name}' for field, name in named) or 'built-in methods only'}; "
            "put back the original"
        )
    for origin in origins:
        if origin not in changed:
            require_same(origin["field"], origin, METHOD_FIELDS[origin["field"]])
    return config


def _is_unused(origin: Mapping[str, Any]) -> bool:
    """Return whether the file of a rule or defense exists and has changed."""
    file, unused = origin["file"], origin["field"] in ("rule", "before", "defense")
    return bool(unused and file and os.path.isfile(file) and checksum(file) != origin["sha256"])


def _names(value: Any) -> tuple:
    """Return a list of names; anything else is refused when the configuration is made."""
    return tuple(value) if isinstance(value, (list, tuple, str)) else ()


def _are_origins(found: Any) -> bool:
    """Return whether a stored value is a list of origins."""
    return isinstance(found, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("field"), str)
        and one["field"] in METHOD_FIELDS
        and isinstance(one.get("name"), str)
        and all(
            isinstance(one.get(name, 0), (str, type(None)))
            for name in ("file", "sha256", "package")
        )
        and {"file", "sha256"} <= one.keys()
        and (one["file"] is None) == (one["sha256"] is None)
        for one in found
    )
