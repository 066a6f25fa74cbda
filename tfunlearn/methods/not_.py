"""NoT: unlearning by weight negation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfunlearn.core.errors import require, require_whole
from tfunlearn.core.fields import option
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import NUMBER, RecoverySettings, milder_setting, recovery_plan
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning import kernels_of, negate


@dataclass(frozen=True)
class NoTSettings(RecoverySettings):
    """Settings of NoT."""

    negate: int = option(1, "Number of kernels to negate, starting at the first layer.")

    default_stop: ClassVar[str] = "target"

    def __post_init__(self):
        super().__post_init__()
        require_whole("negate", self.negate, 1, NUMBER)


def plan(task: UnlearningTask, own: NoTSettings) -> Plan:
    """Negate the first convolution kernels (without convolutions: any first kernels), then
    recover."""
    model, count = task.source.model, own.negate
    places = kernels_of(model, convolutions_only=True) or kernels_of(model)
    require(
        "model",
        model.name,
        bool(places),
        "a model with Dense, convolution, attention or recurrent layers, for not",
    )
    require(
        "negate",
        count,
        count <= len(places),
        f"at most {len(places)}, the model's number of kernels",
    )
    return recovery_plan(
        task,
        negate(task.source.state.weights, places=places[:count]),
        report={"negated": [model.weights[place].name for place in places[:count]]},
    )


NOT = UnlearningMethod(
    name="not",
    summary="negates the first kernel; recovery",
    paper="Khalil et al., CVPR 2025, arXiv 2503.05657",
    settings=NoTSettings,
    plan=plan,
    milder=milder_setting("recovery_lr", 0.1),
    describe=lambda report: [f"negated {', '.join(report['negated'])}"],
)
