"""FedUP's control: training continues without the forget set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tfunlearn.core.errors import choose, require
from tfunlearn.core.fields import option
from tfunlearn.methods.fedup import SIMILARITIES, check_fraction, fraction_in_words, remarks
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, milder_setting, recovery_plan
from tfunlearn.methods.requirements import require_whole_clients, round_of_both_groups
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning import estimate_of, kernels_of


@dataclass(frozen=True)
class ExcludeSettings(RecoverySettings):
    """Settings of the control."""

    fraction: int | float | str = option(
        "auto",
        "Pruning share of fedup, which determines the number of rounds; auto: from the "
        "similarity of the benign clients.",
    )
    similarity: str = option("model", "Vectors compared by auto: model or update.")

    stops: ClassVar[tuple[str, ...]] = ("rounds", "plateau", "target", "bound")
    default_stop: ClassVar[str] = "bound"
    default_optimizer: ClassVar[str | None] = "adam"
    works_by_rounds: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        check_fraction(self.fraction)
        choose("similarity", self.similarity, dict.fromkeys(SIMILARITIES))


def _last_kernel(model: Any) -> int:
    """Return the index of the last kernel, by which `auto` compares the clients."""
    places = kernels_of(model)
    require(
        "model",
        model.name,
        bool(places),
        "a model with Dense, convolution, attention or recurrent layers, for exclude",
    )
    return places[-1]


def plan(task: UnlearningTask, own: ExcludeSettings) -> Plan:
    """Prune nothing; train for the number of rounds of the bound."""
    if own.stop_rule != "bound":
        return recovery_plan(task, task.source.state.weights)
    report: dict = {}
    storage, fraction = 0, own.fraction
    if own.fraction == "auto":
        require_whole_clients(task)
        kept = round_of_both_groups(task)
        estimate = estimate_of(
            kept.weights,
            kept.local_models(),
            np.flatnonzero(~np.isin(kept.ids, task.flagged)),
            _last_kernel(task.source.model),
            own.similarity,
        )
        fraction, report = estimate.fraction, {"estimate": dataclasses.asdict(estimate)}
        storage = task.source.history.bytes([kept.round_number])
    return recovery_plan(
        task,
        task.source.state.weights,
        fraction=float(fraction),
        report={"fraction": fraction, **report},
        storage=storage,
    )


def describe(report: dict) -> list[str]:
    if "fraction" not in report:
        return []
    return [f"{fraction_in_words(report)}, which only sets the number of rounds"]


EXCLUDE = UnlearningMethod(
    name="exclude",
    summary="FedUP's control: training without the forget set for FedUP's number of rounds",
    paper="Romandini et al., 2025, arXiv 2508.13853",
    settings=ExcludeSettings,
    plan=plan,
    requests={
        "clients": "with --fraction",
        "classes": "with --fraction",
        "examples": "with --fraction",
    },
    needs_history=False,
    describe=describe,
    remarks=remarks,
    milder=milder_setting("recovery_lr", 0.1),
)
