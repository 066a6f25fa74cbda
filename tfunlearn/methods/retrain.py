"""Retraining from scratch: the reference of every other method."""

from __future__ import annotations

from tfunlearn.methods.method import MethodSettings, UnlearningMethod
from tfunlearn.methods.recovery import plan_from_scratch
from tfunlearn.methods.task import Plan, UnlearningTask


def plan(task: UnlearningTask, own: MethodSettings) -> Plan:
    """Train from scratch on the retain set, with the seed of the run."""
    return plan_from_scratch(
        task, task.source.federation.client_training, task.source.training_rounds
    )


RETRAIN = UnlearningMethod(
    name="retrain",
    summary="trains from scratch without the forget set, with the run's seed: the reference",
    plan=plan,
    from_scratch=True,
    is_reference=True,
)
