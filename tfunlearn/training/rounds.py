"""The rounds of a run, made from its configuration: which engine, with which stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import integers
from tfunlearn.defenses import Stages
from tfunlearn.federated import AveragingRounds, GatheringRounds, PartialRounds
from tfunlearn.federated.client_work import ClientTraining, ClientWork
from tfunlearn.models import build_model
from tfunlearn.training.federation import Federation
from tfunlearn.training.threat_model import adversary_of, rejection_of


def initial_model(federation: Federation, seed: int | None = None) -> tf.keras.Model:
    """Returns the model that a run starts from; `seed` of its weights, default the run's."""
    config = federation.config
    seed = config.draws if seed is None else seed
    return build_model(
        config.model.model,
        federation.data.image_shape,
        federation.data.classes,
        seed=int(integers(seed, "model")[0]),
        own=config.model.settings,
    )


def rounds_of(
    federation: Federation,
    model: tf.keras.Model,
    *,
    training: ClientTraining | None = None,
    keep: Callable[[HistoryRound], None] | None = None,
    excluded: np.ndarray = (),
    gather: bool = False,
    seed: int | None = None,
    movable: Sequence[np.ndarray] | None = None,
    loss: str = "cross-entropy",
) -> AveragingRounds | GatheringRounds:
    """Returns the engine, `(state, cohort) -> (state, report)`.

    Args:
        federation: who takes part.
        model: the Keras model; only its graph and initial weights are read.
        training: the local training; default the run's.
        keep: handed what the server received in each round; needs gathering.
        excluded: ids of clients that are heard but not aggregated; needs gathering.
        gather: whether to gather although the configuration does not ask for it.
        seed: of the clients' shuffles; default the run's.
        movable: which entries of the weights clients may change; default all.
        loss: what clients minimise, see `ClientWork`.
    """
    config = federation.config
    work = ClientWork(
        model, config.training.client if training is None else training, movable=movable, loss=loss
    )
    sizes = tuple(int(np.prod(w.shape)) for w in model.get_weights())
    common = dict(
        seed=config.draws if seed is None else seed,
        flap=model_stage(config, model),
        image_dtype=federation.data.images.dtype,
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
    """Returns the engine of rounds that move only some entries of the weights.

    Args:
        federation: who takes part; its attackers craft partial updates, as if for the plain mean.
        model: the Keras model; only its graph is read.
        weights: that every client holds from the start.
        movable: which entries, a bool array for each weight.
        training: the local training.
        seed: of the clients' shuffles.
        on_server: the server trains by itself, without clients.
    """
    adversary = None if on_server else adversary_of(federation, model)
    if adversary is not None:
        adversary = dataclasses.replace(adversary, columns=None, aggregate=None)
    return PartialRounds(
        ClientWork(model, training, movable=movable, fixed_norms=True),
        weights,
        seed=seed,
        image_dtype=federation.data.images.dtype,
        on_server=on_server,
        adversary=adversary,
    )


def model_stage(config: RunConfig, model: tf.keras.Model) -> Callable | None:
    """Return the defenses that change the global model after an aggregation, None without any."""
    stages = [one.build(model, own, config.gathers) for one, own in config.defense.on_model]
    if len(stages) > 1:
        return Stages(tuple(stages))
    return stages[0] if stages else None
