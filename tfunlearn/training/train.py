"""A federated training run, from configuration to run directory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.config.fingerprint import content_of
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core import compute
from tfunlearn.core.errors import require
from tfunlearn.core.families import file_name, short_name
from tfunlearn.core.files import digest_of
from tfunlearn.core.lazy import tf
from tfunlearn.evaluation import OutputsOf
from tfunlearn.local_training.state import ServerState
from tfunlearn.models.weight_names import weight_names
from tfunlearn.report import save_curves
from tfunlearn.runs.history_store import HistoryWriter
from tfunlearn.runs.run_directory import RunDirectory, new_run_directory
from tfunlearn.training.callbacks import SILENT, FunctionCallbacks, TrainingCallbacks
from tfunlearn.training.engine import engine_notes, engine_of
from tfunlearn.training.federation import Federation
from tfunlearn.training.measures import TestMeasures
from tfunlearn.training.recording import Recorder
from tfunlearn.training.rounds import initial_model, rounds_of


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run.

    Attributes:
        directory: the run directory.
        model: the Keras model with the final weights.
        metrics: the lines of `metrics.jsonl`.
        federation: data, clients and adversary of the run.
    """

    directory: RunDirectory
    model: tf.keras.Model
    metrics: list[dict]
    federation: Federation


def train(
    config: RunConfig,
    *,
    out: str | os.PathLike | None = None,
    workers: Sequence[str] = (),
    watch: TrainingCallbacks = SILENT,
    on_start: Callable | None = None,
    on_round: Callable[[dict], None] | None = None,
) -> TrainingRun:
    """Train a model federatedly, with the attacks and defenses of `config`.

    Each finished round is on disk, in `checkpoint.npz` and `metrics.jsonl`, before the next one
    starts; after an interruption `resume_training` continues from the last one. `model.keras` is
    written at the end, and when the run is stopped.

    Args:
        config: the run's configuration.
        out: the run directory; default `runs/<data>-<model>-<attack>-<defense>-seed<n>`.
        workers: `host:port` of workers that share the clients (engine tff); default this machine
            alone. With workers every update is gathered, so that any set of workers gives the same
            bits.
        watch: callbacks.
        on_start, on_round: called in place of `watch.on_start` and `watch.on_round_end`.

    Raises:
        UserError: the engine is not installed, the configuration does not fit the data, `out`
            cannot be used, or no worker answers at an address.
        WorkerError: TFF's worker process died, or the last of several workers did.
    """
    watch = FunctionCallbacks(watch, on_start, on_round)
    config = _gathering(config) if workers else config
    directory = new_run_directory(out, _name(config), config.flat())
    with directory.locked(), contextlib.ExitStack() as stack:
        try:
            compute.prepare(config.compute.threads_per_client)
            clients_by = engine_of(config)
            if workers:
                stack.enter_context(clients_by.at_work(workers=workers))
            begun = PreparedRun.of(directory, config)
            engine = begun.engine(0)
            if not workers:
                stack.enter_context(clients_by.at_work(directory.worker_log))
            write_start(begun)
        except BaseException:
            directory.discard()
            raise
        watch.on_start(directory, begun.federation, begun.model, 0)
        return run_remaining_rounds(begun, engine, ServerState(begun.model.get_weights()), watch)


@dataclass(frozen=True)
class PreparedRun:
    """Directory, federation and model of a run.

    Attributes:
        directory: the run directory, locked.
        federation: data, clients and adversary.
        model: the Keras model with the initial weights.
    """

    directory: RunDirectory
    federation: Federation
    model: tf.keras.Model

    @classmethod
    def of(cls, directory: RunDirectory, config: RunConfig) -> PreparedRun:
        """Prepare a run from its configuration."""
        federation = Federation.of(config, directory.read_data())
        return cls(directory, federation, initial_model(federation))

    def engine(self, finished: int) -> tuple[HistoryWriter, Callable | None]:
        """Return the history writer and the round function.

        The round function is None if training is complete after `finished` rounds.
        """
        config = self.federation.config
        history = HistoryWriter(self.directory.history, config.history, finished=finished)
        if finished == config.training.rounds:
            return history, None
        return history, rounds_of(
            self.federation, self.model, keep=history.keep if config.history.keeps else None
        )


def run_remaining_rounds(
    begun: PreparedRun,
    engine: tuple[HistoryWriter, Callable | None],
    state: ServerState,
    watch: TrainingCallbacks,
) -> TrainingRun:
    """Run the remaining rounds after `state`, and return the finished run.

    Args:
        begun: the prepared run.
        engine: result of `PreparedRun.engine` for that state.
        state: state after the last finished round.
        watch: callbacks.
    """
    directory, federation, model = begun.directory, begun.federation, begun.model
    config, (history, run_round) = federation.config, engine
    measure = TestMeasures(OutputsOf(model), federation.data, federation.config.attack)
    recorder = Recorder(directory, history, measure, watch.on_round_end)
    if run_round is not None:
        try:
            with recorder.events():
                for number in range(state.finished + 1, config.training.rounds + 1):
                    cohort = federation.cohort(number)
                    state, _ = recorder.run(run_round, state, cohort, federation)
        except BaseException:  # so that whoever opens the model of a stopped run finds its last one
            with contextlib.suppress(Exception):
                directory.write_model(model, directory.read_state().weights)
            raise
    directory.restore(model, state)
    lines = directory.read_metrics()
    save_curves(directory.curves, lines)
    return TrainingRun(directory, model, lines, federation)


def _gathering(config: RunConfig) -> RunConfig:
    require(
        "gather",
        config.training.gather,
        config.training.gather is not False,
        "True, since workers share clients whose updates are gathered",
    )
    return dataclasses.replace(config, training=dataclasses.replace(config.training, gather=True))


def write_start(begun: PreparedRun) -> None:
    """Write configuration, partition, initial checkpoint and initial model."""
    directory, model = begun.directory, begun.model
    write_setup(directory, begun.federation, model)
    directory.write_state(ServerState(model.get_weights()))
    directory.write_model(model, model.get_weights())


def write_setup(
    directory: RunDirectory,
    federation: Federation,
    model: tf.keras.Model,
    forget_mask: np.ndarray | None = None,
    engine: dict[str, Any] | None = None,
) -> None:
    """Write configuration and partition.

    Args:
        directory, federation, model: those of the run.
        forget_mask: marks forgotten examples, bool `(N,)`; default none.
        engine: the notes on the engine, see `engine_notes`; default those of a run that begins.
    """
    found = federation.config.origins()
    origins = [{"field": field, **dataclasses.asdict(origin)} for field, origin in found]
    directory.copy_methods(origin for _, origin in found)
    rows = federation.data.rows
    assert rows is not None
    notes: dict[str, Any] = {"origins": origins} if origins else {}
    directory.write_config(
        federation.config.flat(),
        **(engine_notes(federation.config) if engine is None else engine),
        weights=weights_of(model),
        content_sha256=digest_of(content_of(federation.config)),
        **notes,
    )
    directory.write_data(federation.data.prepared, federation.names)
    directory.write_partition(
        [rows[part] for part in federation.parts],
        federation.clients,
        federation.malicious,
        federation.data.classes,
        forget_mask=forget_mask,
        server=None if federation.held_back is None else federation.held_back.rows,
    )


def _name(config: RunConfig) -> str:
    model = os.path.splitext(os.path.basename(config.model.model))[0]
    attack = "+".join(map(short_name, config.attack.attack)) or "none"
    plain = RunConfig().aggregation.rule
    rule = () if config.aggregation.rule == plain else (config.aggregation.rule,)
    defense = "+".join(
        map(short_name, [*config.aggregation.before, *rule, *config.defense.defense])
    )
    return (
        f"{file_name(config.data.dataset)}-{short_name(model)}-{attack}-{defense or 'none'}"
        f"-seed{config.seed}"
    )


def weights_of(model) -> dict[str, list[str]]:
    """Return the names of the weights in a client update: trainable ones and statistics."""
    names = dict(zip(map(id, model.weights), weight_names(model)))
    return {
        "trainable": [names[id(w)] for w in model.trainable_weights],
        "statistics": [names[id(w)] for w in model.non_trainable_weights],
    }
