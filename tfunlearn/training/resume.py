"""Resuming of interrupted or damaged training runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from tfunlearn.config.fingerprint import content_of
from tfunlearn.core import compute
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, digest_of, user_path
from tfunlearn.local_training.state import ServerState
from tfunlearn.runs.loading import stored_config
from tfunlearn.runs.recovery_point import RecoveryPoint, last_valid_checkpoint, rewind
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.callbacks import SILENT, FunctionCallbacks, TrainingCallbacks
from tfunlearn.training.consistency import check_partition
from tfunlearn.training.engine import changes_since, engine_notes, engine_of, in_words, until
from tfunlearn.training.train import (
    PreparedRun,
    TrainingRun,
    run_remaining_rounds,
    write_start,
)


def resume_training(
    run: str | os.PathLike,
    *,
    data_dir: str | None = None,
    workers: Sequence[str] = (),
    watch: TrainingCallbacks = SILENT,
    on_damage: Callable[[str], None] | None = None,
    on_start: Callable | None = None,
    on_round: Callable[[dict], None] | None = None,
) -> TrainingRun:
    """Resume an interrupted training run from its last valid checkpoint.

    The remaining rounds are bit-identical to those of an uninterrupted run. Damaged files are
    reported and rewritten; a finished run is checked, and repaired if its files are damaged.

    Args:
        run: the run directory.
        data_dir: folder of the data set; default the one in the run's configuration.
        workers: as for `train`; they may differ from those used before.
        watch: callbacks.
        on_damage, on_start, on_round: called in place of `watch.on_damage`, `watch.on_start` and
            `watch.on_round_end`.

    Raises:
        UserError: no training run there, its data or model file have changed, no checkpoint is
            valid, workers are given for a run that does not gather, or another process is writing.
        WorkerError: as for `train`.
    """
    watch = FunctionCallbacks(watch, on_start, on_round, on_damage)
    directory = RunDirectory(user_path(run))
    if not directory.config.is_file():
        raise UserError(f"run: '{run}' is no run directory (no {directory.config.name})")
    if directory.unlearning.exists() or directory.request.exists():
        raise UserError(
            "run: must be a run of train, since its rounds would train on the forgotten data; "
            f"got {run}, which was unlearned"
        )
    with directory.locked(), contextlib.ExitStack() as stack:
        config = stored_config(directory, data_dir)
        if workers and not config.gathers:
            raise UserError(
                "worker: not allowed with a run that does not gather updates; it must have been "
                "trained with --worker, --gather or a setting that needs gathering"
            )
        engine_of(config).check_workers(workers)
        compute.prepare(config.compute.threads_per_client)
        begun = PreparedRun.of(directory, config)
        left = _check(begun)
        for words in left.damaged:
            watch.on_damage(words)
        state = left.state or ServerState(begun.model.get_weights())
        rewind(directory, left)
        if left.state is None:
            write_start(begun)
        watch.on_start(directory, begun.federation, begun.model, state.finished)
        if state.finished < config.training.rounds:
            stack.enter_context(engine_of(config).at_work(directory.worker_log, workers))
            directory.change_config(
                lambda stored: {
                    **until(stored, state.finished),
                    **engine_notes(config, stored, state.finished),
                }
            )
        return run_remaining_rounds(begun, begun.engine(state.finished), state, watch)


def _check(begun: PreparedRun) -> RecoveryPoint:
    """Return the recovery point of a run, checked against its configuration and data.

    Raises:
        UserError: no checkpoint is valid, or its configuration, data or model file have changed.
    """
    directory, left = begun.directory, last_valid_checkpoint(begun.directory)
    path, known = begun.federation.model_name, directory.model_sha256()
    if known is not None and checksum(path) != known:
        raise UserError(
            f"model: {path} is no longer the file that the run began with (SHA-256 "
            f"{known[:16]}...); put that back to go on"
        )
    if left.state is None:
        return left
    stored = directory.read_config()
    named = stored.get("content_sha256")
    if named is not None and named != digest_of(content_of(begun.federation.config)):
        raise UserError(
            f"run: {directory.config} was changed since the run began; put it back, or "
            f"start over with tfunlearn train --config {directory.config}"
        )
    check_partition(directory, begun.federation)
    shapes = [weight.shape for weight in begun.model.get_weights()]
    if [weight.shape for weight in left.state.weights] != shapes:
        raise UserError(
            f"run: the checkpoint in {directory.path} does not fit the model of its "
            "config.json; one of them was changed"
        )
    config, finished = begun.federation.config, left.state.finished
    changes = changes_since(stored, config, finished)
    if changes and finished < config.training.rounds:
        left.damaged.append(in_words(changes))
    return left
