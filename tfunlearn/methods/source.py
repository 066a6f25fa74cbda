"""The run to unlearn from, read from disk; nothing here writes."""

from __future__ import annotations

import functools
import os
import pathlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core import compute
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import checksum
from tfunlearn.core.lazy import tf
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.core.requests import ForgetRequest
from tfunlearn.local_training.state import ServerState
from tfunlearn.models.saved import is_model_file
from tfunlearn.runs.history_store import History
from tfunlearn.runs.loading import load_with, read_run
from tfunlearn.runs.run_directory import RunDirectory, read_record
from tfunlearn.training.consistency import check_partition
from tfunlearn.training.federation import Federation


@dataclass(frozen=True)
class Source:
    """A run, read from disk.

    Attributes:
        directory: the run directory.
        federation: the initial federation: all clients with all examples.
        forget_mask: earlier forget sets, bool `(N,)`.
        requests: earlier requests, each a list of terms.
        state: final state, with the final weights.
        load: loads the Keras model once.
        history: kept rounds, including those of the runs that this one started from.
        rounds: total number of rounds since training began.
        training_rounds: number of rounds of the training from scratch, R*.
        last_unlearning: round after which the last unlearning took place, or None.
        lost: path of a run that this one started from and whose history can no longer be read; else
            None.
        model_sha256: SHA-256 of the model file that training began with; None without one.
    """

    directory: RunDirectory
    federation: Federation
    forget_mask: np.ndarray
    requests: list[list[str]]
    state: ServerState
    load: Callable[[], tf.keras.Model]
    history: History
    rounds: int
    training_rounds: int
    last_unlearning: int | None
    lost: str | None = None
    model_sha256: str | None = None

    @property
    def model(self) -> tf.keras.Model:
        """The Keras model of the run, loaded on first use."""
        return self.load()

    def check_model_file(self) -> None:
        """Check that the model file that training began with is unchanged.

        Raises:
            UserError: the file is missing or was changed.
        """
        path = self.federation.model_name
        if self.model_sha256 is None or not is_model_file(path):
            return
        if not os.path.isfile(path) or checksum(path) != self.model_sha256:
            raise UserError(
                f"model: {path} is gone or is no longer the file that the run began "
                f"with (SHA-256 {self.model_sha256[:16]}...); put that back to retrain"
            )

    @functools.cached_property
    def remaining(self) -> Federation:
        """The current federation, without earlier forget sets; its examples are copied once."""
        return self.federation.without(self.forget_mask)


def open_source(run: str | os.PathLike, data_dir: str | None = None) -> Source:
    """Read a run.

    Args:
        run: run directory, of `train` or of `unlearn`.
        data_dir: folder of the data set; default the one in the run's configuration.

    Raises:
        UserError: there is no run, a file is damaged, or the data are not the run's.
    """
    require("data_dir", data_dir, data_dir != "", "the name of a folder")
    directory, config, state = read_run(run, data_dir)
    compute.prepare(config.compute.threads_per_client)
    lines, record = directory.read_metrics(), read_record(directory)
    require_not_failed(directory, record)
    if directory.lock.exists():
        with directory.locked():  # raises if another process is writing
            pass
    if record is None and state.finished < config.training.rounds:
        warnings.warn(
            f"{directory.path} has {state.finished} of {config.training.rounds} rounds; "
            f"tfunlearn resume {directory.path} resumes it",
            stacklevel=2,
        )
    shapes = [w.shape for w in state.weights]
    federation = Federation.of(config, directory.read_data())
    check_partition(directory, federation)
    forget_mask, requests = np.zeros(len(federation.clients.labels), bool), []
    before, trained, last = 0, state.finished, None
    if record is not None:
        requests, before = record.requests, record.rounds_before
        trained, last = record.training_rounds, record.unlearned_after_round
        for words in requests:
            forget_mask |= ForgetRequest.parse(words).rows(
                federation.clients, federation.data.classes
            )
    require(
        "run",
        f"{run} with {state.finished} rounds",
        trained >= 1,
        "a run with at least one finished round",
    )
    history, lost = _history(directory, config, lines, record, shapes)
    return Source(
        directory,
        federation,
        forget_mask,
        requests,
        state,
        functools.cache(lambda: load_with(directory, state)),
        history,
        before + state.finished,
        trained,
        last,
        lost,
        directory.model_sha256(),
    )


@dataclass(frozen=True)
class KeptRounds:
    """The kept rounds of a run, without its data.

    Attributes:
        directory: the run directory.
        config: its configuration.
        history: kept rounds, including those of the runs that this one started from.
        rounds: number of finished rounds of the run.
    """

    directory: RunDirectory
    config: RunConfig
    history: History
    rounds: int


def open_history(run: str | os.PathLike, data_dir: str | None = None) -> KeptRounds:
    """Read the kept rounds of a run; neither its data nor who attacked is read.

    Raises:
        UserError: there is no run, or a file is damaged.
    """
    directory, config, state = read_run(run, data_dir)
    record = read_record(directory)
    require_not_failed(directory, record)
    shapes = [w.shape for w in state.weights]
    history, _ = _history(directory, config, directory.read_metrics(), record, shapes)
    return KeptRounds(directory, config, history, state.finished)


def require_not_failed(directory: RunDirectory, record: UnlearningRecord | None) -> None:
    """Check that the run is not a failed unlearning.

    Raises:
        UserError: the unlearning failed.
    """
    if record is not None and record.failed:
        raise UserError(f"run: {directory.path} is no unlearned run: {record.failed}")


def _history(directory: RunDirectory, config, lines, record, shapes) -> tuple[History, str | None]:
    """Return the kept rounds of a run, including those of the run that it started from.

    The earlier run is followed only if its checkpoint is unchanged since; otherwise its path is
    returned as the second value (else None).
    """
    own = History.of(
        directory.history,
        lines,
        config.history,
        shapes,
        0 if record is None else record.rounds_before,
    )
    if record is None or record.restarts:
        return own, None
    earlier = RunDirectory(pathlib.Path(record.source))
    try:
        same = checksum(earlier.checkpoint) == record.source_checkpoint_sha256
    except OSError:
        same = False
    if not same:
        return own, record.source
    history, lost = _history(earlier, config, earlier.read_metrics(), read_record(earlier), shapes)
    return history.then(own), lost
