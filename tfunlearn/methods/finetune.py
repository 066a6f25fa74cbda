"""Fine-tuning: training continues on the retain set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, milder_setting, recovery_plan
from tfunlearn.methods.task import Plan, UnlearningTask


@dataclass(frozen=True)
class FinetuneSettings(RecoverySettings):
    """Settings of fine-tuning."""

    works_by_rounds: ClassVar[bool] = True


def plan(task: UnlearningTask, own: FinetuneSettings) -> Plan:
    """Continue training on the retain set; no paper fixes the number of rounds."""
    return recovery_plan(task, task.source.state.weights)


FINETUNE = UnlearningMethod(
    name="finetune",
    summary="continues training without the forget set",
    settings=FinetuneSettings,
    plan=plan,
    milder=milder_setting("recovery_lr", 0.1),
)
