"""Recovery: settings and plans of the ordinary rounds after a method's own step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfunlearn.core.errors import choose, refuse, require, require_real, require_whole
from tfunlearn.core.fields import option
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.local_training.optimizers import OPTIMIZERS
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import DEFAULT_ROUNDS, MethodSettings
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.training.rounds import initial_model
from tfunlearn.unlearning.stopping import STOPS, bound_rounds

ADAPTIVE: dict[str, float] = dict.fromkeys(
    ("adam", "adamw", "fisher"), 1e-3
)  # default learning rates
NUMBER, AT_MOST = 10**9, 1000


@dataclass(frozen=True)
class TrainingSettings(MethodSettings):
    """Settings of methods that train after their own step.

    Attributes:
        default_stop: stop rule if none is named.
        stops: stop rules that the method accepts.
        default_optimizer: optimizer if none is named; None for that of the training.
        works_by_rounds: whether the method consists of its rounds only, so that it needs at least
            one.
    """

    stop: str | None = option(
        None, f"Stop rule of recovery: {', '.join(STOPS)}; none: the method's own."
    )
    recovery_rounds: int | None = option(
        None,
        f"Recovery rounds, after any round of the method itself, with stop rule rounds (none: "
        f"{DEFAULT_ROUNDS}); their maximum with plateau and target (none: the rounds of the "
        "training). 0: no recovery.",
    )
    recovery_optimizer: str | None = option(
        None,
        f"Client optimizer of recovery: {', '.join(OPTIMIZERS)}; none: the method's own, else "
        "as in training.",
    )
    recovery_lr: float | None = option(
        None,
        "Client learning rate of recovery; none: as in training, or 0.001 with a different, "
        "adaptive optimizer.",
    )
    recovery_epochs: int | None = option(
        None, "Local epochs per recovery round; none: as in training."
    )

    default_stop: ClassVar[str] = "rounds"
    stops: ClassVar[tuple[str, ...]] = ("rounds", "plateau", "target")
    default_optimizer: ClassVar[str | None] = None
    works_by_rounds: ClassVar[bool] = False

    def __post_init__(self):
        if self.stop is not None:
            choose("stop", self.stop, dict.fromkeys(STOPS))
            require(
                "stop",
                self.stop,
                self.stop in self.stops,
                f"one of {', '.join(self.stops)} with this method",
            )
        if self.recovery_optimizer is not None:
            choose("recovery_optimizer", self.recovery_optimizer, OPTIMIZERS)
        whole("recovery_rounds", self.recovery_rounds, least=0)
        whole("recovery_epochs", self.recovery_epochs)
        positive("recovery_lr", self.recovery_lr)
        refuse(
            "recovery_rounds",
            self.recovery_rounds,
            self.recovery_rounds is None or self.stop_rule != "bound",
            "with stop bound; take stop rounds, plateau or target",
        )
        require(
            "recovery_rounds",
            self.recovery_rounds,
            self.recovery_rounds != 0 or not self.works_by_rounds,
            "at least 1 with this method, which works by its rounds",
        )

    @property
    def stop_rule(self) -> str:
        return self.stop or self.default_stop

    @property
    def asks_no_rounds(self) -> bool:
        return self.recovery_rounds == 0

    def rounds(self, training_rounds: int) -> int:
        if self.recovery_rounds is not None:
            return self.recovery_rounds
        return DEFAULT_ROUNDS if self.stop_rule == "rounds" else training_rounds

    def training(self, own: ClientTraining) -> ClientTraining:
        """Return the clients' local training during recovery.

        Raises:
            UserError: the optimizer differs from the run's, has no default learning rate, and none
                is given.
        """
        optimizer = self.recovery_optimizer or self.default_optimizer or own.optimizer
        lr, fresh = self.recovery_lr, bool(self.default_optimizer) or optimizer != own.optimizer
        if lr is None and fresh:
            lr = ADAPTIVE.get(optimizer)
        require(
            "recovery_lr",
            lr,
            lr is not None or optimizer == own.optimizer,
            f"a number, since the run was trained with {own.optimizer}, not {optimizer}",
        )
        return dataclasses.replace(
            own,
            optimizer=optimizer,
            lr=own.lr if lr is None else lr,
            local_epochs=self.recovery_epochs or own.local_epochs,
        )


@dataclass(frozen=True)
class RecoverySettings(TrainingSettings):
    """Settings of methods whose recovery can keep the run's aggregation rule and defenses."""

    keep_defense: bool = option(
        False,
        "Keep the run's aggregation rule and defenses during recovery instead of plain "
        "federated averaging.",
    )


def recovery_plan(
    task: UnlearningTask,
    start: list[np.ndarray],
    *,
    fraction: float | None = None,
    report: dict | None = None,
    cost: Cost = Cost(),
    storage: int = 0,
) -> Plan:
    """Return a plan of ordinary rounds from `start`.

    Args:
        task: the task.
        start: weights that recovery starts from.
        fraction: share of the weights that was changed; needed for the stop rule bound.
        report: the method's report.
        cost: cost of the method's work before recovery.
        storage: size of the kept history that it read, in bytes.
    """
    rounds = task.recovery_rounds
    if task.own.stop_rule == "bound" and fraction is not None:
        rounds = bound_rounds(task.source.training_rounds, fraction)
    return Plan(
        start,
        rounds,
        task.own.stop_rule,
        task.training,
        report=report or {},
        cost=cost + Cost(server_storage_bytes=storage),
    )


def plan_from_scratch(task: UnlearningTask, training: ClientTraining, rounds: int) -> Plan:
    """Return a plan that trains from the initial model drawn with the task's seed."""
    task.source.check_model_file()
    start = initial_model(task.source.federation, task.seed).get_weights()
    return Plan(start, rounds, "rounds", training, restarts=True)


def milder_setting(name: str, factor: float):
    """Return `(task, plan) -> flag` that suggests a setting multiplied by a factor.

    If the setting is None or auto, the value used is that of the plan's report, else the learning
    rate of its rounds.
    """

    def milder(task: UnlearningTask, plan: Plan) -> str:
        used = getattr(task.own, name)
        if used in (None, "auto"):
            used = plan.report.get(name, plan.training.lr)
        return f"--{name.replace('_', '-')} {factor * used:.2g}"

    return milder


def whole(name: str, value: int | None, least: int = 1) -> None:
    """Check an optional whole number: at least `least`."""
    if value is not None:
        require_whole(name, value, least, NUMBER)


def positive(name: str, value: float | None) -> None:
    """Check an optional number above 0, at most 1000."""
    if value is not None:
        require_real(name, value, lambda v: 0 < v <= AT_MOST, "a number > 0, at most 1000")


def share(name: str, value: float | None) -> None:
    """Check an optional number from 0 to 1."""
    if value is not None:
        require_real(name, value, lambda v: 0 <= v <= 1, "a number from 0 to 1")


__all__ = [
    "ADAPTIVE",
    "RecoverySettings",
    "TrainingSettings",
    "milder_setting",
    "plan_from_scratch",
    "positive",
    "recovery_plan",
    "share",
    "whole",
]
