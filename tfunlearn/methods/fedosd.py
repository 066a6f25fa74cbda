"""The plan of FedOSD: rounds of orthogonal steps that forget, then rounds that do not go back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.training.rounds import rounds_of
from tfunlearn.methods.task import Case, Plan
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.settings import DEFAULT_ROUNDS
from tfunlearn.federated.cohort import Cohort
from tfunlearn.federated.gathering import Updates
from tfunlearn.federated.learning_process import WeightOrder
from tfunlearn.federated.state import RoundReport, ServerState
from tfunlearn.unlearning import orthogonal_step, without_return


def plan_fedosd(case: Case) -> Plan:
    """FedOSD: forgets orthogonally to what the remaining clients learn, then recovers.

    Updates of a round stand for gradients times the learning rate, so the steps take them as they
    are. Clients count the same.

    In the rounds that forget everybody makes one epoch of plain SGD, as published; recovery trains
    as the run did, until accuracy on the remaining data is back: recovery is kept from going
    straight back, but at an ordinary learning rate it brings a class back all the same, so that it
    should be no longer than it must. Of the remaining clients those who are drawn take part, of
    those who hold what is to be forgotten all.

    Deviation: the method forgets one client; here the examples to be forgotten train at whoever
    holds them, and their mean update is taken. Moving statistics of BatchNormalization follow the
    remaining clients. Rounds and learning rates are chosen here: the published ones (100
    rounds of one full-batch step of 4e-4, 100 of recovery at 1e-6, where little can return) are the
    preset `fedosd-official`.

    Reference:
        Pan et al., "Federated Unlearning with Gradient Descent and Conflict Mitigation" (AAAI
        2025, arXiv 2412.20200).
    """
    settings, source = case.settings, case.source
    forgets = settings.unlearn_rounds or settings.recovery_rounds or DEFAULT_ROUNDS
    training = case.training
    gentle = dataclasses.replace(
        training, optimizer="sgd", lr=settings.unlearn_lr, local_epochs=1,
        batch_size=settings.unlearn_batch or training.batch_size)
    leaving = case.leaving

    def rounds_by(keep: Callable | None) -> Callable:
        return _Rounds(case, leaving, forgets, gentle, keep)

    def drawn(number: int) -> Cohort:
        return case.recovering.cohort(source.rounds + number, seed=case.seed)

    def cohort(number: int) -> Cohort:
        if number > forgets:
            return drawn(number)
        ids = np.union1d(drawn(number).ids, leaving.clients.present)
        return source.remaining.undefended().cohort(source.rounds + number, ids)

    def cost_of(number: int) -> Cost:
        if number > forgets:
            return round_cost(drawn(number).examples, training, case.parameters)
        wrong = leaving.clients.sizes[leaving.clients.present]  # who holds both trains twice
        return dataclasses.replace(
            round_cost(drawn(number).examples, gentle, case.parameters)
            + round_cost(wrong, gentle, case.parameters), rounds=1)

    return Plan(source.state.weights, forgets + case.recovery_rounds, settings.rule, training,
                report=dict(unlearn_rounds=forgets, unlearn_lr=gentle.lr,
                            recovery_rounds=case.recovery_rounds, lr=training.lr),
                rounds_by=rounds_by, cohort=cohort, cost_of=cost_of, settles_after=forgets)


class _Rounds:
    """Runs the rounds of FedOSD, `(state, cohort) -> (state, report)`.

    Args:
        case: what is to be forgotten.
        leaving: the federation of what is to be forgotten alone.
        forgets: rounds that forget, before those of recovery.
        gentle: local training in the former.
        keep: handed what the remaining clients sent, or None.
    """

    def __init__(self, case: Case, leaving, forgets: int, gentle, keep: Callable | None):
        model = case.source.model
        self._case, self._leaving, self._forgets, self._keep = case, leaving, forgets, keep
        common = dict(gather=True, seed=case.seed)
        self._unlearn = rounds_of(leaving, model, training=gentle, loss="unlearning", **common)
        self._beside = rounds_of(case.recovering, model, training=gentle, **common)
        self._recover = rounds_of(case.recovering, model, training=case.training, **common)
        self._trainable = WeightOrder(model).trainable_columns()
        self._shapes = [weight.shape for weight in model.weights]
        self._start = to_vector(case.source.state.weights)

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        number = state.finished + 1
        forgets = number <= self._forgets
        engine = self._beside if forgets else self._recover
        remaining = self._case.recovering.cohort(cohort.round_number, seed=self._case.seed)
        updates, crafted = engine.receive(state, remaining)
        if self._keep is not None:
            self._keep(HistoryRound(cohort.round_number, state.weights, updates.ids,
                                    updates.stack, updates.examples))
        weights, dropped, loss = state.weights, updates.dropped, None
        if len(updates.ids):
            loss = float(updates.losses.mean())
            step = updates.stack.mean(axis=0, dtype=np.float64)
            part = self._trainable
            if forgets:
                wrong = self._forgotten(state, cohort)
                dropped = tuple(sorted({*dropped, *wrong.dropped}))
                step[part] = 0 if not len(wrong.ids) else orthogonal_step(
                    wrong.stack[:, part].mean(axis=0), updates.stack[:, part])
            else:
                moved = (to_vector(state.weights) - self._start)[part]
                step[part] = without_return(updates.stack[:, part], moved).mean(
                    axis=0, dtype=np.float64)
            weights = from_vector((to_vector(weights) + step).astype(np.float32), self._shapes)
        return ServerState(weights, number), RoundReport(loss, dropped, crafted=crafted)

    def _forgotten(self, state: ServerState, cohort: Cohort) -> Updates:
        """Returns the updates of those who hold what is to be forgotten, trained to unlearn."""
        ids = self._leaving.clients.present
        return self._unlearn.gather(state.weights, self._leaving.cohort(cohort.round_number, ids))
