"""What each method makes of a case: where recovery starts, and how its rounds are run."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.core.errors import require
from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector
from tfunlearn.training.rounds import initial_model
from tfunlearn.methods.task import (
    Case, Plan, missing_history, require_whole_clients, round_of_both_groups)
from tfunlearn.methods.cost import Cost
from tfunlearn.federated.client_work import ClientTraining
from tfunlearn.models.initial import redrawn
from tfunlearn.unlearning import (
    ascend, estimate_of, fedrecovery, fedup, kernels_of, negate, trust_radius)
from tfunlearn.unlearning.stopping import bound_rounds

RANDOM_MODELS = 10  # that pga's radius is measured with


def plan_fedup(case: Case) -> Plan:
    """FedUP: prune the benign average of the newest kept round with both groups; recover."""
    require_whole_clients(case)
    kept, settings = round_of_both_groups(case), case.settings
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
    """FedUP's control: nothing is pruned, the bound's number of rounds."""
    if case.settings.rule != "bound":
        return _recovery(case, case.source.state.weights)
    fraction, report, storage = case.settings.fraction, {}, 0
    if fraction == "auto":
        require_whole_clients(case)
        kept = round_of_both_groups(case)
        estimate = estimate_of(
            kept.weights, kept.local_models(), np.flatnonzero(~np.isin(kept.ids, case.flagged)),
            kernels_of(case.source.model)[-1], case.settings.similarity)
        fraction, report = estimate.fraction, {"estimate": dataclasses.asdict(estimate)}
        storage = case.source.history.bytes([kept.round_number])
    return _recovery(case, case.source.state.weights, fraction=fraction,
                     report={"fraction": fraction, **report}, storage=storage)


def plan_finetune(case: Case) -> Plan:
    """Goes on training on what remains; how many rounds is chosen here, no paper fixes it."""
    return _recovery(case, case.source.state.weights)


def plan_not(case: Case) -> Plan:
    """NoT: negates the first convolutions, or the first kernels of a net without one."""
    model, count = case.source.model, case.settings.negate
    places = kernels_of(model, convolutions_only=True) or kernels_of(model)
    require("negate", count, count <= len(places), f"at most {len(places)}, the model's kernels")
    return _recovery(case, negate(case.source.state.weights, places=places[:count]),
                     report={"negated": [model.weights[place].name for place in places[:count]]})


def plan_pga(case: Case) -> Plan:
    """Projected gradient ascent at each forgotten client; the server takes their mean.

    Deviation: the centre is weighted by examples, as federated averaging weights clients, unless
    `average` is uniform (the paper's); that several clients' results are averaged is chosen here.
    """
    require_whole_clients(case)
    source, settings = case.source, case.settings
    kept = round_of_both_groups(case, majority=False)
    remaining = ~np.isin(kept.ids, case.flagged)
    center = mean_step(kept.weights, kept.updates[remaining],
                       kept.examples[remaining] if settings.average == "samples" else None)
    trainable = [n for n, weight in enumerate(source.model.weights) if weight.trainable]
    radius = trust_radius([center[n] for n in trainable], [
        [drawn[n] for n in trainable]
        for drawn in (redrawn(source.model, seed) for seed in
                      integers(case.seed, "random models", count=RANDOM_MODELS))])
    here, ascents = source.remaining, []
    held = here.poisoned if here.attacked(source.rounds) else here.clients
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
    cost = Cost(rounds=1, client_steps=sum(ascent.steps for ascent in ascents), bytes_down=sent,
                bytes_up=sent)
    return _recovery(case, start, report=report, cost=cost,
                     storage=source.history.bytes([kept.round_number]))


def plan_fedrecovery(case: Case) -> Plan:
    """FedRecovery: no round at all.

    Deviation: it takes the rounds for weighted means, whatever rule the run had; under a robust
    rule the residuals are not what was applied.
    """
    require_whole_clients(case)
    source, settings = case.source, case.settings
    if set(range(1, source.rounds + 1)) - set(source.history.rounds):
        raise missing_history(case, f"every round, 1 to {source.rounds}", "all")
    weights = fedrecovery(
        source.state.weights, (case.read(number) for number in source.history.rounds),
        forgotten=case.flagged, average=settings.average, noise=settings.update_noise,
        noisy=[n for n, weight in enumerate(source.model.weights) if weight.trainable],
        rng=generator(case.seed, "recovery noise"))
    return Plan(weights, 0, "rounds", case.training,
                cost=Cost(server_storage_bytes=source.history.bytes()))


def plan_retrain(case: Case) -> Plan:
    """Training from scratch on what remains, seeded as the run was."""
    return _anew(case, case.source.federation.config.training.client,
                 case.source.training_rounds)


def plan_rapid_retrain(case: Case) -> Plan:
    """Training from scratch with the diagonal Fisher optimizer.

    Its learning rate is the paper's; the rounds are those of the training, so that they compare.
    """
    training = dataclasses.replace(case.training, optimizer="fisher",
                                   lr=case.settings.recovery_lr or 1e-3)
    return _anew(case, training, case.settings.recovery_rounds or case.source.training_rounds)


def _recovery(
    case: Case, start: list[np.ndarray], *, fraction: float | None = None,
    report: dict | None = None, cost: Cost = Cost(), storage: int = 0,
) -> Plan:
    """Returns a plan of ordinary rounds from `start`."""
    settings = case.settings
    rounds = case.recovery_rounds
    if settings.rule == "bound":
        rounds = bound_rounds(case.source.training_rounds, fraction)
    return Plan(start, rounds, settings.rule, case.training, report=report or {},
                cost=cost + Cost(server_storage_bytes=storage))


def _anew(case: Case, training: ClientTraining, rounds: int) -> Plan:
    case.source.check_model_file()
    start = initial_model(case.source.federation, case.seed).get_weights()
    return Plan(start, rounds, "rounds", training, restarts=True)


def mean_step(
    weights: list[np.ndarray], updates: np.ndarray, examples: np.ndarray | None
) -> list[np.ndarray]:
    """Returns the weights plus the mean of updates `(n, d)`, weighted by examples if given."""
    step = mean(updates, weights=examples)
    return [weight + move for weight, move in
            zip(weights, from_vector(step, [weight.shape for weight in weights]))]
