"""A federated training run, from configuration to run directory."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.lazy import require_installed, tf
from tfunlearn.core.schedules import every
from tfunlearn.core.seeds import integers
from tfunlearn.defenses import Flap
from tfunlearn.evaluation import OutputsOf
from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.contest import adversary_of, rejection_of
from tfunlearn.experiment.federation import Federation
from tfunlearn.experiment.measure import measured
from tfunlearn.experiment.run_directory import RunDirectory, new_run_directory
from tfunlearn.federated import AveragingRounds, GatheringRounds, local_worker
from tfunlearn.federated.client_work import ClientWork
from tfunlearn.federated.state import RoundReport, ServerState
from tfunlearn.models import build_model
from tfunlearn.pruning.records import as_json
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
        model = build_model(
            config.model.model, federation.data.image_shape, federation.data.classes,
            seed=int(integers(config.seed, "model")[0]), norm=config.model.norm)
        run_round = _rounds(federation.config, model, federation)
    except BaseException:
        directory.discard()
        raise
    config, outputs_of = federation.config, OutputsOf(model)
    state = _write_start(directory, federation, model)
    on_start(directory, federation, model)
    writer = tf.summary.create_file_writer(str(directory.tensorboard))
    with local_worker(directory.worker_log), writer.as_default():
        for number in range(1, config.training.rounds + 1):
            started = time.perf_counter()
            cohort = federation.cohort(number)
            state, report = run_round(state, cohort)
            outputs = outputs_of(federation.data.test_images, state.weights)
            metrics = measured(outputs_of, outputs, federation.data, config.attack)
            line = _line(number, report, metrics, cohort.ids, federation)
            line["checkpoint_sha256"] = directory.write_state(state)
            directory.write_model(model, state.weights)
            line["seconds"] = round(time.perf_counter() - started, 4)
            directory.append_metrics(line)
            _write_events(line)
            on_round(line)
    lines = directory.read_metrics()
    save_curves(directory.curves, lines)
    return TrainingRun(directory, model, lines, federation)


def _write_start(directory: RunDirectory, federation: Federation, model) -> ServerState:
    """Writes what is known before the first round, and returns the state to start from."""
    state = ServerState(model.get_weights())
    directory.write_config(federation.config.flat(), versions=_versions(), weights=_names(model))
    directory.write_partition(
        [federation.data.rows[part] for part in federation.parts], federation.clients,
        federation.malicious, federation.data.classes,
        server=None if federation.held_back is None else federation.held_back.rows)
    directory.write_state(state)
    directory.write_model(model, state.weights)
    return state


def _rounds(config: RunConfig, model, federation: Federation):
    defense = config.defense
    flap = None
    if "flap" in defense.defense:
        flap = Flap(model, fraction=defense.prune_fraction,
                    due=every(defense.prune_every, start=defense.prune_start),
                    include_residual=defense.include_residual)
    work = ClientWork(model, config.training.client)
    sizes = tuple(int(np.prod(w.shape)) for w in model.get_weights())
    common = dict(seed=config.seed, image_dtype=federation.data.images.dtype, flap=flap,
                  aggregator=dataclasses.replace(config.aggregator, sizes=sizes))
    if not config.gathers:
        return AveragingRounds(work, clients=config.participants, **common)
    return GatheringRounds(
        work, adversary=adversary_of(federation, model), rejection=rejection_of(federation, model),
        server_examples=federation.server_examples, **common)


def _line(
    number: int, report: RoundReport, metrics: dict, ids: np.ndarray, federation: Federation
) -> dict:
    attackers = np.intersect1d(ids, federation.malicious) if federation.attacked(number) else []
    if federation.config.update_attack and not federation.config.attack.on_data:
        attackers = report.crafted
    return dict(
        round=number, **metrics, train_loss=report.train_loss, clients=len(ids),
        participants=[int(k) for k in ids],
        attackers=[int(k) for k in attackers],
        crafted=list(report.crafted), dropped=list(report.dropped),
        rejected=list(report.rejected), pruned=as_json(report.pruned))


def _write_events(line: dict) -> None:
    for name in ("test_accuracy", "test_loss", "attack_success", "source_error", "train_loss"):
        if line[name] is not None:
            tf.summary.scalar(name, line[name], step=line["round"])
    tf.summary.flush()


def _name(config: RunConfig) -> str:
    model = os.path.splitext(os.path.basename(config.model.model))[0]
    attack = "+".join(config.attack.attack) or "none"
    rule = () if config.aggregation.rule == "mean" else (config.aggregation.rule,)
    defense = "+".join([*config.aggregation.before, *rule, *config.defense.defense]) or "none"
    return f"{config.data.dataset}-{model}-{attack}-{defense}-seed{config.seed}"


def _versions() -> dict[str, str]:
    packages = ("tfunlearn", "tensorflow", "tensorflow-federated", "numpy")
    return {"python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages}}


def _names(model) -> dict[str, list[str]]:
    """Returns what the clients' updates cover: trainable weights and moving statistics."""
    return {"trainable": [w.name for w in model.trainable_weights],
            "statistics": [w.name for w in model.non_trainable_weights]}
