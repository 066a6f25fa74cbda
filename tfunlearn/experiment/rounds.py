"""The rounds of a run, made from its configuration: which engine, with which stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfunlearn.core.history import HistoryRound
from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import every
from tfunlearn.core.seeds import integers
from tfunlearn.defenses import Flap
from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.contest import adversary_of, rejection_of
from tfunlearn.experiment.federation import Federation
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.federated.client_work import ClientTraining, ClientWork
from tfunlearn.models import build_model


def initial_model(federation: Federation, seed: int | None = None) -> tf.keras.Model:
    """Returns the model that a run starts from; `seed` of its weights, default the run's."""
    config = federation.config
    seed = config.seed if seed is None else seed
    return build_model(
        config.model.model, federation.data.image_shape, federation.data.classes,
        seed=int(integers(seed, "model")[0]), norm=config.model.norm)


def rounds_of(
    federation: Federation, model: tf.keras.Model, *, training: ClientTraining | None = None,
    keep: Callable[[HistoryRound], None] | None = None, excluded: np.ndarray = (),
    gather: bool = False, seed: int | None = None,
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
    """
    config = federation.config
    work = ClientWork(model, config.training.client if training is None else training)
    sizes = tuple(int(np.prod(w.shape)) for w in model.get_weights())
    common = dict(seed=config.seed if seed is None else seed, flap=_flap(config, model),
                  image_dtype=federation.data.images.dtype,
                  aggregator=dataclasses.replace(config.aggregator, sizes=sizes))
    if not (gather or config.gathers):
        return AveragingRounds(work, clients=federation.participants, **common)
    return GatheringRounds(
        work, adversary=adversary_of(federation, model), rejection=rejection_of(federation, model),
        server_examples=federation.server_examples, keep=keep, excluded=excluded, **common)


def _flap(config: RunConfig, model: tf.keras.Model) -> Flap | None:
    defense = config.defense
    if "flap" not in defense.defense:
        return None
    return Flap(model, fraction=defense.prune_fraction,
                due=every(defense.prune_every, start=defense.prune_start),
                include_residual=defense.include_residual)
