"""A federated training run, from configuration to run directory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

from tfunlearn.core.lazy import require_installed, tf
from tfunlearn.evaluation import OutputsOf
from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.federation import Federation
from tfunlearn.experiment.history_store import HistoryWriter
from tfunlearn.experiment.measure import TestMeasures
from tfunlearn.experiment.recording import Recorder
from tfunlearn.experiment.rounds import initial_model, rounds_of
from tfunlearn.experiment.run_directory import RunDirectory, new_run_directory
from tfunlearn.federated import local_worker
from tfunlearn.federated.state import ServerState
from tfunlearn.report import save_curves


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes:
        directory: where everything lies.
        model: the Keras model with the final weights.
        metrics: the lines of `metrics.jsonl`.
        federation: data, clients and attackers of the run.
    """

    directory: RunDirectory
    model: tf.keras.Model
    metrics: list[dict]
    federation: Federation


def train(
    config: RunConfig,
    *,
    out: str | os.PathLike | None = None,
    on_start: Callable[[RunDirectory, Federation, tf.keras.Model], None] = lambda *_: None,
    on_round: Callable[[dict], None] = lambda _: None,
) -> TrainingRun:
    """Trains a model federatedly, under attack and defended as `config` says.

    Each finished round is on disk, in `checkpoint.npz` and `model.keras`, before the next begins;
    an interruption of any kind leaves the last one there.

    Args:
        config: the run's configuration.
        out: the run directory; default `runs/<data>-<model>-<attack>-<defense>-seed<n>`.
        on_start: called once before the first round.
        on_round: called with each line of `metrics.jsonl`.

    Raises:
        UserError: TensorFlow Federated is missing, the configuration does not fit the data, or
            `out` cannot be used.
        WorkerError: TFF's worker process died.
    """
    require_installed("tensorflow_federated")
    directory = new_run_directory(out, _name(config))
    try:
        federation = Federation.of(config)
        model, config = initial_model(federation), federation.config
        history = HistoryWriter(directory.history, config.history)
        keep = history.keep if config.history.keeps else None
        run_round = rounds_of(federation, model, keep=keep)
    except BaseException:
        directory.discard()
        raise
    state = _write_start(directory, federation, model)
    on_start(directory, federation, model)
    recorder = Recorder(directory, model, history,
                        TestMeasures(OutputsOf(model), federation.data, config.attack), on_round)
    with local_worker(directory.worker_log), recorder.events():
        for number in range(1, config.training.rounds + 1):
            state, _ = recorder.run(run_round, state, federation.cohort(number), federation)
    lines = directory.read_metrics()
    save_curves(directory.curves, lines)
    return TrainingRun(directory, model, lines, federation)


def _write_start(directory: RunDirectory, federation: Federation, model) -> ServerState:
    """Writes what is known before the first round, and returns the state to start from."""
    state = ServerState(model.get_weights())
    directory.write_config(federation.config.flat(), versions=versions(), weights=names_of(model))
    directory.write_partition(
        [federation.data.rows[part] for part in federation.parts], federation.clients,
        federation.malicious, federation.data.classes,
        server=None if federation.held_back is None else federation.held_back.rows)
    directory.write_state(state)
    directory.write_model(model, state.weights)
    return state


def _name(config: RunConfig) -> str:
    model = os.path.splitext(os.path.basename(config.model.model))[0]
    attack = "+".join(config.attack.attack) or "none"
    rule = () if config.aggregation.rule == "mean" else (config.aggregation.rule,)
    defense = "+".join([*config.aggregation.before, *rule, *config.defense.defense]) or "none"
    return f"{config.data.dataset}-{model}-{attack}-{defense}-seed{config.seed}"


def versions() -> dict[str, str]:
    packages = ("tfunlearn", "tensorflow", "tensorflow-federated", "numpy")
    return {"python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages}}


def names_of(model) -> dict[str, list[str]]:
    """Returns what the clients' updates cover: trainable weights and moving statistics."""
    return {"trainable": [w.name for w in model.trainable_weights],
            "statistics": [w.name for w in model.non_trainable_weights]}
