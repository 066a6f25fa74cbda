"""Round engines of a run, built from its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import UserError
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.lazy import tf
from tfunlearn.core.results import as_weights
from tfunlearn.core.seeds import integers
from tfunlearn.defenses import DEFENSES, ModelDefense, Stages
from tfunlearn.federated import AveragingRounds, GatheringRounds, PartialRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.models import build_model
from tfunlearn.models.precision import PRECISIONS, in_precision
from tfunlearn.training.engine import engine_of
from tfunlearn.training.federation import Federation
from tfunlearn.training.threat_model import adversary_of, rejection_of


def initial_model(federation: Federation, seed: int | None = None) -> tf.keras.Model:
    """Return the initial model of a run; `seed` of its weights defaults to the run's."""
    config = federation.config
    seed = config.draws if seed is None else seed
    return build_model(
        config.model.model,
        federation.data.input_shape,
        federation.data.classes,
        seed=int(integers(seed, "model")[0]),
        own=config.model.settings,
        vocabulary=federation.data.vocabulary,
    )


def rounds_of(
    federation: Federation,
    model: tf.keras.Model,
    *,
    training: ClientTraining | None = None,
    keep: Callable[[HistoryRound], None] | None = None,
    excluded: Any = (),
    gather: bool = False,
    seed: int | None = None,
    movable: Sequence[np.ndarray] | None = None,
    loss: str = "cross-entropy",
) -> AveragingRounds | GatheringRounds:
    """Return the engine of a run's rounds, `(state, cohort) -> (state, report)`.

    Args:
        federation: the federation.
        model: the Keras model; only its graph and initial weights are read.
        training: hyperparameters of local training; default the run's.
        keep: called in each round with the updates that the server received; needs gathering.
        excluded: ids of clients whose updates are received but not aggregated; needs gathering.
        gather: gather updates even if the configuration does not ask for it; default False.
        seed: seed of the clients' shuffling; default the run's.
        movable: masks of the weight entries that clients may change; default all.
        loss: loss that clients minimize, see `ClientWork`.
    """
    config = federation.config
    work = _client_work(
        config,
        model,
        config.training.client if training is None else training,
        movable=movable,
        loss=loss,
    )
    sizes = tuple(int(np.prod(w.shape)) for w in model.get_weights())
    common: dict[str, Any] = dict(
        seed=config.draws if seed is None else seed,
        engine=engine_of(config),
        flap=model_stage(config, model),
        feature_dtype=federation.data.features.dtype,
        equal_weights=config.aggregation.client_weights == "uniform",
        aggregator=config.aggregator.replace(sizes=sizes),
    )
    if not (gather or config.gathers):
        return AveragingRounds(work, clients=federation.participants, **common)
    return GatheringRounds(
        work,
        adversary=adversary_of(federation, model),
        rejection=rejection_of(federation, model),
        server_examples=federation.server_examples,
        keep=keep,
        excluded=excluded,
        **common,
    )


def gathering_rounds_of(
    federation: Federation, model: tf.keras.Model, **options: Any
) -> GatheringRounds:
    """Return the round function that gathers every update; options as for `rounds_of`."""
    engine = rounds_of(federation, model, **{**options, "gather": True})
    assert isinstance(engine, GatheringRounds)
    return engine


def partial_rounds_of(
    federation: Federation,
    model: tf.keras.Model,
    weights: Sequence[np.ndarray],
    *,
    movable: Sequence[np.ndarray],
    training: ClientTraining,
    seed: int,
    on_server: bool = False,
) -> PartialRounds:
    """Return the engine of rounds that change only some entries of the weights.

    Args:
        federation: the federation; its adversary crafts partial updates, as for the plain mean.
        model: the Keras model; only its graph is read.
        weights: the weights that every client holds at the start.
        movable: masks of the entries to change, one bool array per weight.
        training: hyperparameters of local training.
        seed: seed of the clients' shuffling.
        on_server: train on the server alone, without clients; default False.
    """
    adversary = None if on_server else adversary_of(federation, model)
    if adversary is not None:
        adversary = dataclasses.replace(adversary, columns=None, aggregate=None)
    return PartialRounds(
        _client_work(federation.config, model, training, movable=movable, fixed_norms=True),
        weights,
        seed=seed,
        engine=engine_of(federation.config),
        feature_dtype=federation.data.features.dtype,
        on_server=on_server,
        adversary=adversary,
    )


def _client_work(
    config: RunConfig, model: tf.keras.Model, training: ClientTraining, **options: Any
) -> ClientWork:
    """Return the local training of a run's clients, in the run's precision."""
    precision = config.compute.precision
    return ClientWork(
        in_precision(model, precision), training, compute_dtype=PRECISIONS[precision], **options
    )


def _stage(method: ModelDefense, own: Any, gathers: bool, model: tf.keras.Model) -> Callable:
    """Return the stage of a defense; the results of a user's function are checked."""
    stage = method.build(model, own, gathers)
    if not callable(stage):
        raise UserError(f"defense: build of {method.name} must return a function; got {stage!r}")
    if DEFENSES.get(method.name) is method:
        return stage

    def checked(round_number: int, weights: list[np.ndarray]) -> tuple[list[np.ndarray], dict]:
        found = stage(round_number, weights)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
            raise UserError(
                f"defense: {method.name} must return (weights, records by layer) after a round; "
                f"got {type(found).__name__}"
            )
        return as_weights("defense", method.name, found[0], weights), found[1]

    for name in ("on_tensors", "records_of"):  # of stages that also run inside TFF
        if hasattr(stage, name):
            setattr(checked, name, getattr(stage, name))
    return checked


def model_stage(config: RunConfig, model: tf.keras.Model) -> Callable | None:
    """Return the defenses that change the global model after an aggregation, or None."""
    stages = [_stage(one, own, config.gathers, model) for one, own in config.defense.on_model]
    if len(stages) > 1:
        return Stages(tuple(stages))
    return stages[0] if stages else None
