"""An unlearning method: the last kernel is shrunk, then ordinary rounds follow."""

from dataclasses import dataclass

from tfunlearn.core.errors import require_real
from tfunlearn.core.fields import option
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, recovery_plan
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning import kernels_of


@dataclass(frozen=True)
class ShrinkSettings(RecoverySettings):
    """Settings of the method, in addition to those of its recovery."""

    factor: float = option(0.1, "Factor on the last kernel, 0 to 1.")

    def __post_init__(self):
        super().__post_init__()
        require_real("factor", self.factor, lambda value: 0 <= value <= 1, "0 to 1")


def plan(task: UnlearningTask, own: ShrinkSettings) -> Plan:
    """Shrink the last kernel."""
    weights = list(task.source.state.weights)
    last = kernels_of(task.source.model)[-1]
    weights[last] = weights[last] * weights[last].dtype.type(own.factor)
    return recovery_plan(task, weights, report={"shrunk": task.source.model.weights[last].name})


SHRINK = UnlearningMethod(
    name="shrink",
    summary="shrinks the last kernel; recovery",
    settings=ShrinkSettings,
    plan=plan,
    describe=lambda report: [f"shrunk {report['shrunk']}"],
)
