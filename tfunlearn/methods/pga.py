"""PGA: projected gradient ascent at the forgotten clients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import mean
from tfunlearn.core.errors import choose, require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.fedup import AVERAGES
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import (
    NUMBER,
    RecoverySettings,
    milder_setting,
    positive,
    recovery_plan,
    share,
)
from tfunlearn.methods.requirements import require_whole_clients, round_of_both_groups
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.models.initial import redrawn
from tfunlearn.unlearning import ascend, trust_radius

RANDOM_MODELS = 10  # used to estimate the radius


@dataclass(frozen=True)
class PGASettings(RecoverySettings):
    """Settings of PGA."""

    average: str = option("samples", "Weights of means over clients: samples or uniform.")
    ascent_lr: float = option(0.01, "Learning rate of the ascent.")
    ascent_epochs: int = option(5, "Largest number of epochs of the ascent.")
    ascent_batch: int = option(128, "Examples per step of the ascent.")
    ascent_clip: float = option(5.0, "Largest norm of a gradient in the ascent.")
    ascent_stop: float = option(0.12, "Batch accuracy below which the ascent stops.")

    def __post_init__(self):
        super().__post_init__()
        choose("average", self.average, dict.fromkeys(AVERAGES))
        positive("ascent_lr", self.ascent_lr)
        require_whole("ascent_epochs", self.ascent_epochs, 1, NUMBER)
        require_whole("ascent_batch", self.ascent_batch, 1, NUMBER)
        positive("ascent_clip", self.ascent_clip)
        share("ascent_stop", self.ascent_stop)


def plan(task: UnlearningTask, own: PGASettings) -> Plan:
    """Run gradient ascent at each forgotten client, average the results, then recover.

    Deviation: the center is weighted by examples, as in federated averaging, unless `average` is
    uniform (the paper's); averaging the results of several clients is chosen here.
    """
    require_whole_clients(task)
    source = task.source
    kept = round_of_both_groups(task, majority=False)
    remaining = ~np.isin(kept.ids, task.flagged)
    center = mean_step(
        kept.weights,
        kept.updates[remaining],
        kept.examples[remaining] if own.average == "samples" else None,
    )
    trainable = [n for n, weight in enumerate(source.model.weights) if weight.trainable]
    radius = trust_radius(
        [center[n] for n in trainable],
        [
            [drawn[n] for n in trainable]
            for drawn in (
                redrawn(source.model, seed)
                for seed in integers(task.seed, "random models", count=RANDOM_MODELS)
            )
        ],
    )
    here, ascents = source.remaining, []
    held = here.poisoned if here.attacked(source.rounds) else here.clients
    for client in task.flagged:
        rows = held.rows(client)
        ascents.append(
            ascend(
                source.model,
                center,
                held.features[rows],
                held.labels[rows],
                radius=radius,
                lr=own.ascent_lr,
                clip=own.ascent_clip,
                epochs=own.ascent_epochs,
                batch_size=own.ascent_batch,
                forget_accuracy=own.ascent_stop,
                rng=generator(task.seed, "ascent", int(client)),
            )
        )
    start = [
        np.mean(arrays, axis=0, dtype=np.float64).astype(np.float32)
        for arrays in zip(*(ascent.weights for ascent in ascents))
    ]
    report = dict(
        history_round=kept.round_number,
        radius=radius,
        ascents=[
            dict(
                client=int(client),
                steps=ascent.steps,
                accuracy=ascent.accuracy,
                distance=ascent.distance,
            )
            for client, ascent in zip(task.flagged, ascents)
        ],
    )
    sent = 4 * task.parameters * len(ascents)
    cost = Cost(
        rounds=1,
        client_steps=sum(ascent.steps for ascent in ascents),
        bytes_down=sent,
        bytes_up=sent,
    )
    return recovery_plan(
        task, start, report=report, cost=cost, storage=source.history.bytes([kept.round_number])
    )


def mean_step(
    weights: list[np.ndarray], updates: np.ndarray, examples: np.ndarray | None
) -> list[np.ndarray]:
    """Return the weights plus the mean of updates `(n, d)`, weighted by `examples` if given."""
    step = mean(updates, weights=examples)
    return [
        weight + move
        for weight, move in zip(weights, from_vector(step, [weight.shape for weight in weights]))
    ]


def describe(report: dict) -> list[str]:
    steps = sum(ascent["steps"] for ascent in report["ascents"])
    return [
        f"from kept round {report['history_round']}",
        f"{steps:,} step{'s' * (steps != 1)} of ascent within {report['radius']:.3g}",
    ]


PGA = UnlearningMethod(
    name="pga",
    summary="gradient ascent at the forgotten clients, projected onto a ball around a reference; "
    "recovery",
    paper="Halimi et al., 2022, arXiv 2207.05521",
    settings=PGASettings,
    plan=plan,
    requests={"clients": ""},
    needs_history=True,
    describe=describe,
    milder=milder_setting("ascent_lr", 0.1),
)
