"""The plan of FedMemPrune: one round that locates, a reset, fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector
from tfunlearn.training.rounds import rounds_of
from tfunlearn.methods.task import Case, Plan
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.federated.cohort import Cohort
from tfunlearn.federated.state import RoundReport, ServerState
from tfunlearn.unlearning import (
    SALIENCIES, Located, locate, mean_delta_of, mean_gradient_of, reset)
from tfunlearn.unlearning.eligible import names_of


def plan_memorization(case: Case) -> Plan:
    """FedMemPrune: resets what an ordinary round on the remaining data moves least; fine-tunes.

    The round that locates is the first one of the recovery, and its update is applied first;
    `recovery_rounds` counts the rounds after it.

    Deviation: clients count as they do in the run (`client_weights`), where the published code
    weights them equally; the preset has that.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545).
    """
    settings = case.settings
    report = dict(ratio=case.ratio, saliency=settings.saliency, scope=settings.ratio_scope,
                  include=settings.include, zero_updates=settings.zero_updates,
                  rule=settings.reset_rule, order=settings.reset_order,
                  client_weights=case.recovering.config.aggregation.client_weights)

    def rounds_by(keep: Callable | None) -> Callable:
        engine = rounds_of(case.recovering, case.source.model, training=case.training, keep=keep,
                           gather=case.source.federation.config.history.keeps, seed=case.seed)

        def run_round(state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
            after, happened = engine(state, cohort)
            if state.finished == 0:
                after = dataclasses.replace(after, weights=_reset(case, state, after, report))
                case.tell(report)
            return after, happened

        return run_round

    return Plan(case.source.state.weights, 1 + case.recovery_rounds, settings.rule, case.training,
                report=report, rounds_by=rounds_by, cost=_extra_cost(case), settles_after=1)


def _reset(
    case: Case, before: ServerState, after: ServerState, report: dict
) -> list[np.ndarray]:
    """Returns the weights after the reset; writes into the report what was found."""
    settings, model = case.settings, case.source.model
    masks = located(case, before.weights, after.weights)
    earlier = len(case.source.requests)  # each request draws its own
    seed = int(integers(case.seed, "reset", *([earlier] if earlier else []))[0])
    start = after if settings.reset_order == "apply_then_reset" else before
    report.update(dataclasses.asdict(masks.location), reset_seed=seed)
    names = names_of(model)  # those of nested models may be the same
    report["shares"] = {name if names.count(name) == 1 else f"{name} ({place})": share
                        for place, (name, share) in enumerate(zip(names, masks.location.shares))}
    return reset(start.weights, masks, rule=settings.reset_rule, seed=seed, model=model)


def located(case: Case, before: list[np.ndarray], after: list[np.ndarray]) -> Located:
    """Returns what is to be reset, given the weights before and after an ordinary round."""
    settings = case.settings
    return locate(
        before, changes_of(case, before, after), case.ratio, scope=settings.ratio_scope,
        include=settings.include, saliency=settings.saliency, zero_updates=settings.zero_updates,
        model=case.source.model, rng=generator(case.seed, "random saliency"))


def changes_of(
    case: Case, before: list[np.ndarray], after: list[np.ndarray]
) -> list[np.ndarray]:
    """Returns what the saliency looks at: changes of the round, of the forgotten data alone, or
    the mean gradient on what remains."""
    look = SALIENCIES[case.settings.saliency].of
    if look == "forgotten":
        return _of_forgotten(case, before)
    if look == "gradient":
        return _gradient(case, before)
    return [new - old for new, old in zip(after, before)]


def _of_forgotten(case: Case, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the mean change of the clients that train on what is to be forgotten, from which
    nothing else is made."""
    leaving = case.leaving
    engine = rounds_of(leaving, case.source.model, training=case.training, gather=True,
                       seed=case.seed)
    number = case.source.rounds + 1
    updates = engine.gather(weights, leaving.cohort(number, leaving.clients.present))
    stack, counts = updates.stack.astype(np.float64), engine.shares(updates)
    mean = np.average(stack, axis=0, weights=counts) if len(stack) else np.full(
        stack.shape[1], np.nan)
    return from_vector(mean.astype(np.float32), [weight.shape for weight in weights])


def _gradient(case: Case, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the mean over the remaining clients of their gradients, weighted as in a round."""
    model, federation = case.source.model, case.recovering
    model.set_weights(weights)
    held = federation.held(case.source.rounds + 1)
    equal = federation.config.aggregation.client_weights == "uniform"
    gradient_of = mean_gradient_of(model)
    return mean_delta_of(
        [gradient_of(held.images[held.rows(k)], held.labels[held.rows(k)]) for k in held.present],
        None if equal else held.sizes[held.present])


def _extra_cost(case: Case) -> Cost:
    """Returns the cost of what the saliency needs beside the round."""
    look = SALIENCIES[case.settings.saliency].of
    if look == "forgotten":
        cost = round_cost(case.leaving.clients.sizes[case.leaving.clients.present], case.training,
                          case.parameters)
        return dataclasses.replace(cost, rounds=0)  # they work in the round that locates
    if look == "gradient":
        sizes = case.recovering.clients.sizes[case.recovering.clients.present]
        once = dataclasses.replace(case.training, local_epochs=1)  # a pass over all they hold
        return dataclasses.replace(round_cost(sizes, once, case.parameters), rounds=0, bytes_down=0)
    return Cost()
