"""A run read back from its directory, for whatever goes on from it."""

from __future__ import annotations

import os

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.config_reading import read_config, run_config
from tfunlearn.experiment.run_directory import RunDirectory, open_run_directory
from tfunlearn.federated.state import ServerState
from tfunlearn.models.saved import load_model


def open_run(
    run: str | os.PathLike, data_dir: str | None = None
) -> tuple[RunDirectory, RunConfig, ServerState, tf.keras.Model]:
    """Returns the directory, configuration, last state and model of a run.

    Args:
        run: the run directory.
        data_dir: where the data set lies, if not where the run's configuration says.

    Raises:
        UserError: no run there, or a damaged file.
    """
    directory = open_run_directory(run)
    fields = read_config(str(directory.config))
    config = run_config(**{**fields, **({"data_dir": data_dir} if data_dir else {})})
    model, state = load_model(directory.model), directory.read_state()
    if [w.shape for w in model.get_weights()] != [w.shape for w in state.weights]:
        raise UserError(f"run: {directory.checkpoint} does not fit {directory.model}")
    model.set_weights(state.weights)
    return directory, config, state, model
