"""The plan of ablation-channel unlearning: at the clients (DE) or at the server (CE)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.training.federation import Federation
from tfunlearn.training.rounds import partial_rounds_of
from tfunlearn.methods.task import ADAPTIVE, Case, Plan
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.server_samples import server_samples
from tfunlearn.federated.client_work import ClientTraining
from tfunlearn.federated.cohort import Cohort
from tfunlearn.pruning.channels import channel_layers, masks_of
from tfunlearn.unlearning import (
    ChannelEffects, channel_effects, select_channels, undecided_layers, wrong_labels)

SERVER_LR = 0.01  # the paper's on CIFAR
INDEX_BYTES = 4  # of a channel's index in the message to each client


def plan_ablation_channel(case: Case) -> Plan:
    """Ablation-channel unlearning: trains the channels that matter for what is to be forgotten.

    Deviation: the paper forgets classes; clients and single examples are forgotten by the same
    steps, as an extension. Wrong labels are never those of a class that is to be forgotten.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation".
    """
    return _centralized(case) if case.settings.mode == "centralized" else _decentralized(case)


def _decentralized(case: Case) -> Plan:
    """DE: every client trains, on what remains and on what is to be forgotten, wrongly labelled.

    Its rounds are not kept: partial updates say nothing of the rest of the net to a method that
    goes on from them.

    Deviation: with `redraw` labels are drawn anew in every round, not in every local epoch.
    """
    federation, training = case.source.remaining, case.training
    held = federation.held(case.source.rounds)
    effects, chosen, movable = _selected(case, held, case.forgotten_here)
    trainable = _trainable(case, movable)
    perturbed = _perturbed(case, federation, held)

    def cohort(number: int) -> Cohort:
        return perturbed(number).cohort(case.source.rounds + number, seed=case.seed)

    def rounds_by(keep: Callable | None) -> Callable:
        return partial_rounds_of(
            perturbed(1), case.source.model, case.source.state.weights, movable=movable,
            training=training, seed=case.seed)

    index = INDEX_BYTES * sum(map(len, chosen.values())) * len(federation.clients.present)
    return _plan(case, training, effects, chosen, trainable, rounds_by=rounds_by, cohort=cohort,
                 entries=trainable, cost=Cost(bytes_down=index), examples=int(
                     case.forgotten_here.sum()), samples=len(held.labels),
                 index_bytes=index)


def _centralized(case: Case) -> Plan:
    """CE: the server trains on samples of its own; a round is one epoch."""
    samples, settings = server_samples(case), case.settings
    effects, chosen, movable = _selected(case, samples.examples, samples.forgotten)
    optimizer = settings.recovery_optimizer or "sgd"
    training = ClientTraining(
        optimizer, settings.recovery_lr or ADAPTIVE.get(optimizer, SERVER_LR), local_epochs=1,
        batch_size=settings.server_batch)
    nobody = case.source.remaining.cohort(case.source.rounds + 1, np.zeros(0, int))

    def rounds_by(keep: Callable | None) -> Callable:
        engine = partial_rounds_of(
            case.source.remaining, case.source.model, case.source.state.weights, movable=movable,
            training=training, seed=case.seed, on_server=True)

        def run_round(state, cohort):
            labels = samples.examples.labels.copy()
            labels[samples.forgotten] = _wrong_labels(
                case, samples.examples, samples.forgotten, cohort.round_number)
            examples = samples.examples.with_labels(labels)
            return engine(state, Cohort(cohort.round_number, np.array([0]), examples, np.ones(1)))

        return run_round

    def cohort(number: int) -> Cohort:
        return dataclasses.replace(nobody, round_number=number)

    return _plan(case, training, effects, chosen, _trainable(case, movable), rounds_by=rounds_by,
                 cohort=cohort, entries=0, remote=False, examples=int(samples.forgotten.sum()),
                 samples=len(samples.examples.labels), origin=samples.origin)


def _selected(
    case: Case, held: ClientSet, forgotten: np.ndarray
) -> tuple[ChannelEffects, dict[str, np.ndarray], list[np.ndarray]]:
    """Returns the effects on a probe of what is to be forgotten, the channels chosen by them, and
    the entries that belong to these channels."""
    settings, model, weights = case.settings, case.source.model, case.source.state.weights
    model.set_weights(weights)
    rows = at_most(np.flatnonzero(forgotten), settings.probe, generator(case.seed, "probe"))
    effects = channel_effects(model, held.images[rows], held.labels[rows],
                              parts=settings.channel, track=case.track)
    chosen = select_channels(effects, settings.delta, selection=settings.selection,
                             rng=generator(case.seed, "random channels"),
                             output_units=case.forgotten_classes if case.classes_only else ())
    return effects, chosen, masks_of(channel_layers(model, settings.channel), chosen,
                                     [weight.shape for weight in weights])


def _trainable(case: Case, movable: list[np.ndarray]) -> int:
    """Returns how many of the movable entries are trained."""
    return sum(int(mask.sum()) for mask, weight in zip(movable, case.source.model.weights)
               if weight.trainable)


def _wrong_labels(
    case: Case, held: ClientSet, forgotten: np.ndarray, number: int
) -> np.ndarray:
    """Returns wrong labels in a round for the forgotten examples, in their order."""
    gone, labels = [*case.forgotten_classes, *case.earlier_classes], held.labels.copy()
    for client in held.present:
        rows = np.arange(len(labels))[held.rows(client)]
        rows = rows[forgotten[rows]]
        draw = (int(client), number) if case.settings.redraw else (int(client),)
        labels[rows] = wrong_labels(
            labels[rows], classes=case.source.federation.data.classes, forgotten=gone,
            rng=generator(case.seed, "wrong labels", *draw))
    return labels[forgotten]


def _perturbed(case: Case, federation: Federation, held: ClientSet) -> Callable:
    """Returns `round -> federation` in which what is to be forgotten has wrong labels, its images
    as they were held; clients that leave attack no more."""
    mask = case.forgotten_here

    @functools.lru_cache(maxsize=1)
    def of(number: int) -> Federation:
        return federation.with_examples(
            mask, held.images[mask], _wrong_labels(case, held, mask, number),
            case.remaining.malicious).undefended()

    return of if case.settings.redraw else lambda number: of(0)


def _plan(
    case: Case, training: ClientTraining, effects: ChannelEffects, chosen: dict[str, np.ndarray],
    trainable: int, *, examples: int, samples: int, origin: str | None = None,
    index_bytes: int = 0, **more,
) -> Plan:
    """Returns the plan with its report."""
    settings = case.settings
    kinds = sorted({word.partition(":")[0] for word in settings.forget} - {"class"})
    report = dict(
        mode=settings.mode, selection=settings.selection, delta=settings.delta,
        channel=settings.channel, extension=kinds or None, samples=samples, origin=origin,
        training=dataclasses.asdict(training), entries=trainable, of=case.parameters,
        index_bytes=index_bytes,
        selected={name: [int(j) for j in channels] for name, channels in chosen.items()},
        channels={name: len(effect) for name, effect in effects.items()},
        probe=dict(examples=effects.examples, accuracy=effects.accuracy,
                   resolution=effects.resolution,
                   undecided=undecided_layers(effects, settings.delta,
                                              selection=settings.selection)),
        perturbation=dict(examples=examples, seed=case.seed, redraw=settings.redraw))
    return Plan(case.source.state.weights, case.recovery_rounds, settings.rule, training,
                report=report, **more)
