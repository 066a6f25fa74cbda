"""FedOSD: orthogonal unlearning steps, then recovery that cannot revert them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfunlearn.core.fields import option
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.federated.gathering import Updates
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.local_training.weight_order import WeightOrder
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.method import DEFAULT_ROUNDS, UnlearningMethod
from tfunlearn.methods.recovery import TrainingSettings, milder_setting, positive, whole
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.training.rounds import gathering_rounds_of
from tfunlearn.unlearning import orthogonal_step, without_return


@dataclass(frozen=True)
class FedOSDSettings(TrainingSettings):
    """Settings of FedOSD."""

    unlearn_rounds: int | None = option(
        None, f"Number of unlearning rounds; none: recovery_rounds, or {DEFAULT_ROUNDS}."
    )
    unlearn_lr: float = option(
        0.01, "Learning rate of the unlearning rounds (one epoch of plain SGD each)."
    )
    unlearn_batch: int | None = option(
        None, "Batch size of the unlearning rounds; none: as in training."
    )

    default_stop: ClassVar[str] = "target"

    def __post_init__(self):
        super().__post_init__()
        whole("unlearn_rounds", self.unlearn_rounds)
        positive("unlearn_lr", self.unlearn_lr)
        whole("unlearn_batch", self.unlearn_batch)


def plan(task: UnlearningTask, own: FedOSDSettings) -> Plan:
    """Plan FedOSD: unlearn orthogonally to the remaining clients' updates, then recover.

    The updates of a round stand for gradients times the learning rate, so steps use them unscaled.
    All clients have equal weight.

    In the unlearning rounds every client trains one epoch of plain SGD, as published. Recovery
    trains as the run did, by default until the accuracy on the retain set is back: it cannot move
    straight back, but at an ordinary learning rate it still relearns a class, so it should be as
    short as possible. Of the remaining clients the sampled ones take part; of the holders of the
    forget set, all.

    Deviation: the paper forgets one client; here each holder of forgotten examples trains on them,
    and the mean of their updates is used. Moving statistics of BatchNormalization follow the
    remaining clients. Rounds and learning rates are chosen here; the published ones (100 rounds of
    one full-batch step of 4e-4, 100 of recovery at 1e-6, at which little can return) are the preset
    `fedosd-official`.

    Reference:
        Pan et al., "Federated Unlearning with Gradient Descent and Conflict Mitigation" (AAAI 2025,
        arXiv 2412.20200).
    """
    source = task.source
    forgets = own.unlearn_rounds or own.recovery_rounds or DEFAULT_ROUNDS
    training = task.training
    gentle = dataclasses.replace(
        training,
        optimizer="sgd",
        lr=own.unlearn_lr,
        local_epochs=1,
        batch_size=own.unlearn_batch or training.batch_size,
    )
    leaving = task.leaving

    def rounds_by(keep: Callable | None) -> Callable:
        return _Rounds(task, leaving, forgets, gentle, keep)

    def drawn(number: int) -> Cohort:
        return task.recovering.cohort(source.rounds + number, seed=task.seed)

    def cohort(number: int) -> Cohort:
        if number > forgets:
            return drawn(number)
        ids = np.union1d(drawn(number).ids, leaving.clients.present)
        return source.remaining.undefended().cohort(source.rounds + number, ids)

    def cost_of(number: int) -> Cost:
        if number > forgets:
            return round_cost(drawn(number).examples, training, task.parameters)
        wrong = leaving.clients.sizes[leaving.clients.present]  # holders of both train twice
        return dataclasses.replace(
            round_cost(drawn(number).examples, gentle, task.parameters)
            + round_cost(wrong, gentle, task.parameters),
            rounds=1,
        )

    return Plan(
        source.state.weights,
        forgets + task.recovery_rounds,
        own.stop_rule,
        training,
        report=dict(
            unlearn_rounds=forgets,
            unlearn_lr=gentle.lr,
            recovery_rounds=task.recovery_rounds,
            lr=training.lr,
        ),
        rounds_by=rounds_by,
        cohort=cohort,
        cost_of=cost_of,
        settles_after=forgets,
    )


class _Rounds:
    """Runner of FedOSD's rounds, `(state, cohort) -> (state, report)`.

    Args:
        task: the task.
        leaving: the federation of the forget set alone.
        forgets: number of unlearning rounds, which come before the recovery rounds.
        gentle: local training in the unlearning rounds.
        keep: called with the remaining clients' updates, or None.
    """

    def __init__(self, task: UnlearningTask, leaving, forgets: int, gentle, keep: Callable | None):
        model = task.source.model
        self._task, self._leaving, self._forgets, self._keep = task, leaving, forgets, keep
        self._unlearn = gathering_rounds_of(
            leaving, model, training=gentle, loss="unlearning", seed=task.seed
        )
        self._beside = gathering_rounds_of(task.recovering, model, training=gentle, seed=task.seed)
        self._recover = gathering_rounds_of(
            task.recovering, model, training=task.training, seed=task.seed
        )
        self._trainable = WeightOrder(model).trainable_columns()
        self._shapes = [tuple(weight.shape) for weight in model.weights]
        self._start = to_vector(task.source.state.weights)

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        number = state.finished + 1
        forgets = number <= self._forgets
        engine = self._beside if forgets else self._recover
        remaining = self._task.recovering.cohort(cohort.round_number, seed=self._task.seed)
        updates, crafted = engine.receive(state, remaining)
        if self._keep is not None:
            self._keep(
                HistoryRound(
                    cohort.round_number, state.weights, updates.ids, updates.stack, updates.examples
                )
            )
        weights, dropped, loss = state.weights, updates.dropped, None
        if len(updates.ids):
            loss = float(updates.losses.mean())
            step = updates.stack.mean(axis=0, dtype=np.float64)
            part = self._trainable
            if forgets:
                wrong = self._forgotten(state, cohort)
                dropped = tuple(sorted({*dropped, *wrong.dropped}))
                step[part] = (
                    0
                    if not len(wrong.ids)
                    else orthogonal_step(wrong.stack[:, part].mean(axis=0), updates.stack[:, part])
                )
            else:
                moved = (to_vector(state.weights) - self._start)[part]
                step[part] = without_return(updates.stack[:, part], moved).mean(
                    axis=0, dtype=np.float64
                )
            weights = from_vector((to_vector(weights) + step).astype(np.float32), self._shapes)
        return ServerState(weights, number), RoundReport(loss, dropped, crafted=crafted)

    def _forgotten(self, state: ServerState, cohort: Cohort) -> Updates:
        """Return the updates of the holders of the forget set, trained with the unlearning loss."""
        ids = self._leaving.clients.present
        return self._unlearn.gather(state.weights, self._leaving.cohort(cohort.round_number, ids))


def describe(report: dict) -> list[str]:
    rounds = report["unlearn_rounds"]
    return [
        f"{rounds} round{'s' * (rounds != 1)} of forgetting (SGD {report['unlearn_lr']:g}), "
        f"{report['recovery_rounds']} of recovery"
    ]


FEDOSD = UnlearningMethod(
    name="fedosd",
    summary="gradient ascent orthogonal to the remaining clients' gradients; recovery that does "
    "not revert it",
    paper="Pan et al., AAAI 2025, arXiv 2412.20200",
    settings=FedOSDSettings,
    plan=plan,
    describe=describe,
    milder=milder_setting("unlearn_lr", 0.1),
)
