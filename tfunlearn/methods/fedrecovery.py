"""FedRecovery: removal of the forgotten clients' gradient residuals."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.core.errors import choose, require_real
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.fedup import AVERAGES
from tfunlearn.methods.method import MethodSettings, UnlearningMethod
from tfunlearn.methods.recovery import AT_MOST
from tfunlearn.methods.requirements import missing_history, require_whole_clients
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning import fedrecovery


@dataclass(frozen=True)
class FedRecoverySettings(MethodSettings):
    """Settings of FedRecovery."""

    average: str = option("samples", "Weights of means over clients: samples or uniform.")
    update_noise: float = option(0.0, "Standard deviation of the noise that is added.")

    def __post_init__(self):
        choose("average", self.average, dict.fromkeys(AVERAGES))
        require_real(
            "update_noise",
            self.update_noise,
            lambda v: 0 <= v <= AT_MOST,
            "a number >= 0, at most 1000",
        )


def plan(task: UnlearningTask, own: FedRecoverySettings) -> Plan:
    """Subtract the residuals; no round is trained.

    Deviation: rounds are treated as weighted means, whichever aggregation rule the run had; under a
    robust rule the residuals differ from the updates that were applied.
    """
    require_whole_clients(task)
    source = task.source
    if set(range(1, source.rounds + 1)) - set(source.history.rounds):
        raise missing_history(task, f"every round, 1 to {source.rounds}", "all")
    weights = fedrecovery(
        source.state.weights,
        (task.read(number) for number in source.history.rounds),
        forgotten=task.flagged,
        average=own.average,
        noise=own.update_noise,
        noisy=[n for n, weight in enumerate(source.model.weights) if weight.trainable],
        rng=generator(task.seed, "recovery noise"),
    )
    return Plan(
        weights, 0, "rounds", task.training, cost=Cost(server_storage_bytes=source.history.bytes())
    )


FEDRECOVERY = UnlearningMethod(
    name="fedrecovery",
    summary="subtracts the forgotten clients' weighted residuals from the final model",
    paper="Zhang et al., IEEE TIFS 2023",
    settings=FedRecoverySettings,
    plan=plan,
    requests={"clients": ""},
    needs_history=True,
)
