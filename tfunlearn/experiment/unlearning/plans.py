"""What each method makes of a case: where recovery starts, and how its rounds are run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.seeds import generator
from tfunlearn.core.vectors import from_vector
from tfunlearn.experiment.federation import Federation
from tfunlearn.experiment.rounds import initial_model
from tfunlearn.experiment.unlearning.cost import Cost
from tfunlearn.experiment.unlearning.settings import DEFAULT_ROUNDS, UnlearnSettings
from tfunlearn.experiment.unlearning.source import Source
from tfunlearn.federated.client_work import ClientTraining
from tfunlearn.unlearning import (
    ascend, estimate_fraction, fedrecovery, fedup, kernels_of, negate, trust_radius)
from tfunlearn.unlearning.stopping import bound_rounds

ANEW = ("retrain", "rapid-retrain")  # what they give does not depend on the run's own weights
RANDOM_MODELS = 10  # that pga's radius is measured with


@dataclass(frozen=True)
class Case:
    """What is to be forgotten, from what.

    Attributes:
        settings: the method and its knobs.
        source: the run.
        forgotten: examples of this request, bool `(N,)`.
        remaining: the federation without them and without what was forgotten before.
        flagged: ids of the clients that the request leaves with nothing.
        seed: of what the unlearning draws.
    """

    settings: UnlearnSettings
    source: Source
    forgotten: np.ndarray
    remaining: Federation
    flagged: np.ndarray
    seed: int

    @property
    def parameters(self) -> int:
        """Number of weights of the model."""
        return self.source.model.count_params()

    @property
    def recovering(self) -> Federation:
        """The remaining federation as it recovers: by plain federated averaging, if not told."""
        kept = self.settings.keep_defense or self.settings.method in ANEW
        return self.remaining if kept else self.remaining.undefended()

    @property
    def training(self) -> ClientTraining:
        """The local training of recovery, as the settings have it, else as the run had it."""
        settings, own = self.settings, self.source.federation.config.training.client
        optimizer, lr = settings.recovery_optimizer or own.optimizer, own.lr
        if settings.method in ("fedup", "exclude") and settings.recovery_optimizer is None:
            optimizer, lr = "adam", 1e-3
        return dataclasses.replace(own, optimizer=optimizer, lr=settings.recovery_lr or lr)

    def read(self, number: int) -> HistoryRound:
        """Returns a kept round without the clients that were forgotten before."""
        kept = self.source.history.read(number)
        here = np.isin(kept.ids, np.union1d(self.remaining.clients.present, self.flagged))
        if here.all():
            return kept
        return HistoryRound(kept.round_number, kept.weights, kept.ids[here], kept.updates[here],
                            kept.examples[here])


@dataclass(frozen=True)
class Plan:
    """How a method goes about a case.

    Attributes:
        start: weights that recovery starts from.
        rounds: most rounds of recovery.
        stop: rule that may end it earlier: plateau or target; else it takes all rounds.
        training: local training of its rounds.
        restarts: whether it begins anew: rounds count from 1 again, and what was kept before is
            of no more use.
        report: what the method has to say, JSON values.
        cost: of what it did before the first round.
        rebuild: `(engine, keep) -> run_round` in place of ordinary rounds, or None.
        cohort: `(round) -> Cohort` in place of drawn clients, or None.
        idle: first rounds in which no client works.
    """

    start: list[np.ndarray]
    rounds: int
    stop: str
    training: ClientTraining
    restarts: bool = False
    report: dict = field(default_factory=dict)
    cost: Cost = Cost()
    rebuild: Callable | None = None
    cohort: Callable | None = None
    idle: int = 0


def plan_fedup(case: Case) -> Plan:
    """FedUP: prune the benign average of the newest kept round with both groups; recover."""
    require_whole_clients(case)
    kept, settings = _round_of_both_groups(case), case.settings
    pruned = fedup(
        kept.weights, kept.local_models(),
        malicious=np.flatnonzero(np.isin(kept.ids, case.flagged)), fraction=settings.fraction,
        examples=kept.examples if settings.average == "samples" else None,
        kernels=kernels_of(case.source.model), mask=settings.mask, similarity=settings.similarity,
        rng=generator(case.seed, "random mask"))
    names = [weight.name for weight in case.source.model.weights]
    report = dict(
        history_round=kept.round_number, fraction=pruned.fraction,
        estimate=None if pruned.estimate is None else dataclasses.asdict(pruned.estimate),
        zeroed={names[place]: {"entries": count, "of": int(pruned.masks[place].size)}
                for place, count in pruned.counts.items()})
    return _recovery(case, pruned.weights, fraction=pruned.fraction, report=report,
                     storage=case.source.history.bytes([kept.round_number]))


def plan_exclude(case: Case) -> Plan:
    """FedUP's control: nothing is pruned, the same number of rounds."""
    if case.settings.rule != "bound":
        return _recovery(case, case.source.state.weights)
    require_whole_clients(case)
    fraction, report, storage = case.settings.fraction, {}, 0
    if fraction == "auto":
        kept, place = _round_of_both_groups(case), kernels_of(case.source.model)[-1]
        start = kept.weights[place] if case.settings.similarity == "update" else 0.0
        benign = ~np.isin(kept.ids, case.flagged)
        estimate = estimate_fraction(np.stack(
            [(local[place] - start).reshape(-1)
             for local, kept_one in zip(kept.local_models(), benign) if kept_one]))
        fraction, report = estimate.fraction, {"estimate": dataclasses.asdict(estimate)}
        storage = case.source.history.bytes([kept.round_number])
    return _recovery(case, case.source.state.weights, fraction=fraction,
                     report={"fraction": fraction, **report}, storage=storage)


def plan_finetune(case: Case) -> Plan:
    """Goes on training on what remains."""
    return _recovery(case, case.source.state.weights)


def plan_not(case: Case) -> Plan:
    """NoT: negates the first kernels."""
    model, count = case.source.model, case.settings.negate
    places = kernels_of(model, convolutions_only=True) or kernels_of(model)
    require("negate", count, count <= len(places), f"at most {len(places)}, the model's kernels")
    return _recovery(case, negate(case.source.state.weights, places=places[:count]),
                     report={"negated": [model.weights[place].name for place in places[:count]]})


def plan_pga(case: Case) -> Plan:
    """Projected gradient ascent at each forgotten client; the server takes their mean."""
    require_whole_clients(case)
    source, settings = case.source, case.settings
    kept = _round_of_both_groups(case, majority=False)
    remaining = ~np.isin(kept.ids, case.flagged)
    center = mean_step(kept.weights, kept.updates[remaining],
                       kept.examples[remaining] if settings.average == "samples" else None)
    radius = trust_radius(center, [
        initial_model(source.federation, case.seed + 1 + n).get_weights()
        for n in range(RANDOM_MODELS)])
    held, ascents = source.federation.poisoned, []
    for client in case.flagged:
        rows = held.rows(client)
        ascents.append(ascend(
            source.model, center, held.images[rows], held.labels[rows], radius=radius,
            lr=settings.ascent_lr, clip=settings.ascent_clip, epochs=settings.ascent_epochs,
            batch_size=settings.ascent_batch, forget_accuracy=settings.ascent_stop,
            rng=generator(case.seed, "ascent", int(client))))
    start = [np.mean(arrays, axis=0, dtype=np.float64).astype(np.float32)
             for arrays in zip(*(ascent.weights for ascent in ascents))]
    report = dict(history_round=kept.round_number, radius=radius, ascents=[
        dict(client=int(client), steps=ascent.steps, accuracy=ascent.accuracy,
             distance=ascent.distance) for client, ascent in zip(case.flagged, ascents)])
    sent = 4 * case.parameters * len(ascents)
    cost = Cost(client_steps=sum(ascent.steps for ascent in ascents), bytes_down=sent,
                bytes_up=sent)
    return _recovery(case, start, report=report, cost=cost,
                     storage=source.history.bytes([kept.round_number]))


def plan_fedrecovery(case: Case) -> Plan:
    """FedRecovery: no round at all."""
    require_whole_clients(case)
    source, settings = case.source, case.settings
    if set(range(1, source.rounds + 1)) - set(source.history.rounds):
        raise missing_history(case, f"every round, 1 to {source.rounds}", "all")
    weights = fedrecovery(
        source.state.weights, (case.read(number) for number in source.history.rounds),
        forgotten=case.flagged, average=settings.average, noise=settings.update_noise,
        rng=generator(case.seed, "recovery noise"))
    return Plan(weights, 0, "rounds", case.training,
                cost=Cost(server_storage_bytes=source.history.bytes()))


def plan_retrain(case: Case) -> Plan:
    """Training from scratch on what remains, seeded as the run was."""
    return _anew(case, case.source.federation.config.training.client,
                 case.source.training_rounds)


def plan_rapid_retrain(case: Case) -> Plan:
    """Training from scratch with the diagonal Fisher optimizer."""
    training = dataclasses.replace(case.training, optimizer="fisher",
                                   lr=case.settings.recovery_lr or 1e-3)
    return _anew(case, training, case.settings.recovery_rounds or case.source.training_rounds)


def require_majority(case: Case) -> None:
    """Raises a `UserError` unless fewer clients are to be forgotten than remain."""
    flagged, benign = len(case.flagged), len(case.remaining.clients.present)
    require("forget", f"{flagged} of {flagged + benign} clients", flagged < benign,
            "fewer than half, since fedup needs a benign majority")


def missing_history(case: Case, need: str, flag: str) -> UserError:
    """Returns the error for a history that does not hold what a method needs."""
    rounds = case.source.history.rounds
    kept = "no round" if not rounds else f"round {rounds[0]}" if len(rounds) == 1 else (
        f"{len(rounds)} rounds, {rounds[0]} to {rounds[-1]}")
    return UserError(f"history: {case.settings.method} needs {need}; this run has kept {kept}; "
                     f"train with --history {flag}")


def require_whole_clients(case: Case) -> None:
    held = case.source.remaining.clients
    whole = int(case.forgotten.sum()) == int(held.sizes[case.flagged].sum())
    require("forget", f"parts of clients with {case.settings.method}", whole,
            "whole clients; retrain, finetune, not and rapid-retrain forget classes and examples")


def _round_of_both_groups(case: Case, majority: bool = True) -> HistoryRound:
    """Returns the newest kept round in which forgotten and remaining clients took part."""
    if majority:
        require_majority(case)
    for number in reversed(case.source.history.rounds):
        kept = case.read(number)
        flagged = int(np.isin(kept.ids, case.flagged).sum())
        benign = len(kept.ids) - flagged
        if flagged and benign and (flagged < benign or not majority):
            return kept
    raise missing_history(
        case, "a round with flagged clients and more benign ones" if majority
        else "a round with forgotten and remaining clients", "last (all, if clients are sampled)")


def _recovery(
    case: Case, start: list[np.ndarray], *, fraction: float | None = None,
    report: dict | None = None, cost: Cost = Cost(), storage: int = 0,
) -> Plan:
    """Returns a plan of ordinary rounds from `start`."""
    settings = case.settings
    default = DEFAULT_ROUNDS if settings.rule == "rounds" else case.source.training_rounds
    rounds = settings.recovery_rounds or default
    if settings.rule == "bound":
        rounds = bound_rounds(case.source.training_rounds, fraction)
    return Plan(start, rounds, settings.rule, case.training, report=report or {},
                cost=cost + Cost(server_storage_bytes=storage))


def _anew(case: Case, training: ClientTraining, rounds: int) -> Plan:
    start = initial_model(case.source.federation, case.seed).get_weights()
    return Plan(start, rounds, "rounds", training, restarts=True)


def mean_step(
    weights: list[np.ndarray], updates: np.ndarray, examples: np.ndarray | None
) -> list[np.ndarray]:
    """Returns the weights plus the mean of updates `(n, d)`, weighted by examples if given."""
    step = mean(updates, weights=examples)
    return [weight + move for weight, move in
            zip(weights, from_vector(step, [weight.shape for weight in weights]))]
