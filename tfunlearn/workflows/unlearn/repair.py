"""Repair of a finished unlearned run whose checkpoint or model file is damaged."""

from __future__ import annotations

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum
from tfunlearn.local_training.state import ServerState
from tfunlearn.models.saved import load_model
from tfunlearn.runs.loading import is_model_of, stored_config
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record
from tfunlearn.training.federation import Federation
from tfunlearn.training.rounds import initial_model


def repair(directory: RunDirectory) -> list[str]:
    """Restore checkpoint and model, each from the other; return descriptions of the damaged files.

    Args:
        directory: a run with `unlearning.json`; the caller must hold its lock.

    Raises:
        UserError: both files are damaged, or `unlearning.json` is.
    """
    named, found = unlearning_record(directory).checkpoint_sha256, []
    if not directory.checkpoint.exists() or checksum(directory.checkpoint) != named:
        found.append(f"{directory.checkpoint} is torn or not the one of this run")
        _rewrite_checkpoint(directory, named)
    state = directory.read_state()
    if not is_model_of(directory, state):
        found.append(f"{directory.model} is torn or not the model of this run")
        federation = Federation.of(stored_config(directory), directory.read_data())
        directory.write_model(initial_model(federation), state.weights)
    return found


def _rewrite_checkpoint(directory: RunDirectory, named: str) -> None:
    """Write the checkpoint again from the model, if that reproduces the same file.

    Raises:
        UserError: the model does not hold the checkpoint's weights.
    """
    try:
        weights = load_model(directory.model).get_weights()
    except UserError:
        weights = None
    before = directory.checkpoint.read_bytes() if directory.checkpoint.exists() else None
    if weights is not None:
        state = ServerState(weights, len(directory.read_metrics()))
        if directory.write_state(state) == named:
            return
        if before is not None:
            directory.checkpoint.write_bytes(before)
    raise UserError(
        f"run: {directory.checkpoint} is torn, and {directory.model} is not the model "
        "that it held; remove the run and unlearn again"
    )
