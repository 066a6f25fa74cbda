"""FedUP: unlearning of malicious clients by pruning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tfunlearn.core.errors import UserError, choose, require, require_real, require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import NUMBER, RecoverySettings, milder_setting, recovery_plan
from tfunlearn.methods.requirements import (
    in_words,
    require_majority,
    require_whole_clients,
    round_of_both_groups,
)
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.models.weight_names import weight_names
from tfunlearn.unlearning import MASKS, RateLimiter, fedup, kernels_of

REACHES = "a model with Dense, convolution, attention, recurrent or Embedding layers"
ALIKE = 0.99  # mean cosine similarity of benign clients above which the estimate is unusable
AVERAGES = ("samples", "uniform")
SIMILARITIES = ("model", "update")


def _kernels(model: Any) -> list[int]:
    """Return the indices of the weights that are ranked, each on its own.

    Deviation: the paper's networks have convolutions and Dense layers only; projections of
    attention and kernels of recurrent cells are kernels like these, and the tables of embeddings
    are included since a trigger of rare words lives in them.
    """
    places = kernels_of(model, embeddings=True)
    require("model", model.name, bool(places), f"{REACHES}, for fedup")
    return places


def check_fraction(fraction: float | str) -> None:
    """Check a share of each kernel, 0 to 1, or `auto`."""
    if fraction != "auto":
        require_real("fraction", fraction, lambda p: 0 <= p <= 1, "a number from 0 to 1, or auto")


@dataclass(frozen=True)
class FedUPSettings(RecoverySettings):
    """Settings of FedUP."""

    fraction: int | float | str = option(
        "auto",
        "Share of each kernel's nonzero weights to zero; auto: from the similarity of the "
        "benign clients.",
    )
    mask: str = option(
        "divergence", f"Weights to zero: {', '.join(MASKS)}; the last two are controls."
    )
    similarity: str = option("model", "Vectors compared by auto: model or update.")
    average: str = option("samples", "Weights of means over clients: samples or uniform.")
    rate_limit: int = option(10, "Minimum number of rounds between two unlearnings.")

    stops: ClassVar[tuple[str, ...]] = ("rounds", "plateau", "target", "bound")
    default_optimizer: ClassVar[str | None] = "adam"

    def __post_init__(self):
        super().__post_init__()
        check_fraction(self.fraction)
        choose("mask", self.mask, dict.fromkeys(MASKS))
        choose("similarity", self.similarity, dict.fromkeys(SIMILARITIES))
        choose("average", self.average, dict.fromkeys(AVERAGES))
        require_whole("rate_limit", self.rate_limit, 0, NUMBER)


def plan(task: UnlearningTask, own: FedUPSettings) -> Plan:
    """Prune the benign average of the newest kept round with both groups, then recover."""
    require_whole_clients(task)
    kept = round_of_both_groups(task)
    pruned = fedup(
        kept.weights,
        kept.local_models(),
        malicious=np.flatnonzero(np.isin(kept.ids, task.flagged)),
        fraction=own.fraction,
        examples=kept.examples if own.average == "samples" else None,
        kernels=_kernels(task.source.model),
        mask=own.mask,
        similarity=own.similarity,
        rng=generator(task.seed, "random mask"),
    )
    names = weight_names(task.source.model)
    report = dict(
        history_round=kept.round_number,
        fraction=pruned.fraction,
        estimate=None if pruned.estimate is None else dataclasses.asdict(pruned.estimate),
        zeroed={
            names[place]: {"entries": count, "of": int(pruned.masks[place].size)}
            for place, count in pruned.counts.items()
        },
    )
    return recovery_plan(
        task,
        pruned.weights,
        fraction=pruned.fraction,
        report=report,
        storage=task.source.history.bytes([kept.round_number]),
    )


def rounds_to_wait(task: UnlearningTask) -> int:
    """Return the number of rounds until the rate limiter accepts the request."""
    return (
        RateLimiter(task.own.rate_limit)
        .decide(task.source.rounds, task.source.last_unlearning, map(int, task.flagged))
        .wait
    )


def check_before_waiting(task: UnlearningTask) -> None:
    require_whole_clients(task)
    require_majority(task)


def infeasible_reason(task: UnlearningTask, waits: bool) -> str | None:
    try:
        require_majority(task) if waits else round_of_both_groups(task)
    except UserError as error:
        return str(error).partition(";")[0]
    return None


def caution(task: UnlearningTask) -> str | None:
    if not len(task.honest):
        return None
    return (
        f"fedup was made for attackers, and {in_words(task.honest, 'client')} did not attack: "
        "its mask then takes what tells an honest client from the others; --method "
        "memorization is for honest clients"
    )


def fraction_in_words(report: dict) -> str:
    """Return the pruned fraction and its estimate as text."""
    estimate, words = report.get("estimate"), f"fraction {report['fraction']:.4f}"
    if estimate and estimate["z"] is not None:
        words += (
            f" (auto: P = {estimate['p_max'] - estimate['p_min']:.2f} z^"
            f"{estimate['gamma']:g} + {estimate['p_min']:g}, z {estimate['z']:.4f}, "
            f"mean cosine {estimate['similarity']:.4f} of {estimate['clients']} "
            "benign clients)"
        )
    return words


def describe(report: dict) -> list[str]:
    zeroed = report["zeroed"].values()
    return [
        f"from kept round {report['history_round']}",
        fraction_in_words(report),
        f"{sum(z['entries'] for z in zeroed):,} of {sum(z['of'] for z in zeroed):,} kernel "
        "entries zeroed",
    ]


def remarks(report: dict) -> list[str]:
    estimate = report.get("estimate")
    if not estimate or estimate["similarity"] is None or estimate["similarity"] <= ALIKE:
        return []
    return [
        f"auto      fraction near its maximum of {estimate['p_max']:.2f}, since the clients' last "
        f"layers are alike (mean cosine {estimate['similarity']:.4f}) whether or not their data "
        "are IID; the paper uses 0.10 to 0.15 for IID clients and 0.03 to 0.06 for others "
        "(--fraction)"
    ]


FEDUP = UnlearningMethod(
    name="fedup",
    summary="zeroes the weights in which malicious clients diverge most from the benign average; "
    "recovery",
    paper="Romandini et al., 2025, arXiv 2508.13853",
    settings=FedUPSettings,
    plan=plan,
    requests={"clients": ""},
    default_for="attackers",
    infeasible_reason=infeasible_reason,
    needs_history=True,
    rounds_to_wait=rounds_to_wait,
    check_before_waiting=check_before_waiting,
    caution=caution,
    describe=describe,
    remarks=remarks,
    milder=milder_setting("fraction", 0.5),
)
