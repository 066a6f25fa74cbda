"""Rapid retraining: from scratch with a diagonal Fisher optimizer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tfunlearn.core.errors import require
from tfunlearn.core.fields import option
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.methods.method import MethodSettings, UnlearningMethod
from tfunlearn.methods.recovery import milder_setting, plan_from_scratch, positive, whole
from tfunlearn.methods.task import Plan, UnlearningTask

LR = 1e-3  # the paper's


@dataclass(frozen=True)
class RapidRetrainSettings(MethodSettings):
    """Settings of rapid retraining."""

    recovery_lr: float | None = option(None, f"Client learning rate; none: {LR}.")
    recovery_rounds: int | None = option(None, "Number of rounds; none: those of the training.")

    def __post_init__(self):
        positive("recovery_lr", self.recovery_lr)
        whole("recovery_rounds", self.recovery_rounds, least=0)
        require(
            "recovery_rounds",
            self.recovery_rounds,
            self.recovery_rounds != 0,
            "at least 1 with this method, which works by its rounds",
        )

    def rounds(self, training_rounds: int) -> int:
        return self.recovery_rounds or training_rounds

    def training(self, own: ClientTraining) -> ClientTraining:
        return dataclasses.replace(own, optimizer="fisher", lr=self.recovery_lr or LR)


def plan(task: UnlearningTask, own: RapidRetrainSettings) -> Plan:
    """Train from scratch with the diagonal Fisher optimizer.

    The learning rate is the paper's; the number of rounds defaults to that of the training, so that
    both are comparable.
    """
    return plan_from_scratch(task, task.training, task.recovery_rounds)


RAPID_RETRAIN = UnlearningMethod(
    name="rapid-retrain",
    summary="trains from scratch with a diagonal Fisher optimizer",
    paper="Liu et al., INFOCOM 2022, arXiv 2203.07320",
    settings=RapidRetrainSettings,
    plan=plan,
    from_scratch=True,
    milder=milder_setting("recovery_lr", 0.1),
)
