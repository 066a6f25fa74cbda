"""FedMemPrune: one round to locate memorized weights, a reset, fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfunlearn.core.errors import choose
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.method import Control, UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, share
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.models.weight_names import weight_names
from tfunlearn.training.rounds import gathering_rounds_of, rounds_of
from tfunlearn.unlearning import SALIENCIES, Located, locate, mean_delta_of, mean_gradient_of, reset
from tfunlearn.unlearning.eligible import INCLUDES
from tfunlearn.unlearning.locating import RANGES, ZERO_UPDATES
from tfunlearn.unlearning.resetting import RESETS

ORDERS = ("apply_then_reset", "reset_original")
CLASS_RATIO, OTHER_RATIO = 0.1, 0.3  # defaults


@dataclass(frozen=True)
class MemorizationSettings(RecoverySettings):
    """Settings of FedMemPrune."""

    ratio: float | None = option(
        None,
        f"Share of weights to reset; none: {CLASS_RATIO} for classes only, else {OTHER_RATIO}.",
    )
    ratio_scope: str = option("global", f"Scope of the ratio: {', '.join(RANGES)}.")
    saliency: str = option(
        "abs_mean_delta",
        f"Saliency; the weights with the smallest are reset: {', '.join(SALIENCIES)}; those "
        "from random on are controls.",
    )
    include: str = option(
        "kernels+bias", f"Weights that may be reset: {', '.join(INCLUDES)} (normalization too)."
    )
    zero_updates: str = option(
        "exclude",
        "Ranking of weights with zero saliency: last (exclude), first (include), or an error "
        "if they fill the ratio (error).",
    )
    reset_rule: str = option("he_uniform_compat", f"Re-initialization: {', '.join(RESETS)}.")
    reset_order: str = option(
        "apply_then_reset",
        f"Order of resetting: {', '.join(ORDERS)}; resets the model after or before the "
        "localization round.",
    )

    default_stop: ClassVar[str] = "target"

    def __post_init__(self):
        super().__post_init__()
        share("ratio", self.ratio)
        for name, known in (
            ("ratio_scope", RANGES),
            ("saliency", SALIENCIES),
            ("include", INCLUDES),
            ("zero_updates", ZERO_UPDATES),
            ("reset_rule", RESETS),
            ("reset_order", ORDERS),
        ):
            choose(name, getattr(self, name), dict.fromkeys(known))


def ratio_of(task: UnlearningTask) -> float:
    """Return the share of the weights that is reset."""
    if task.own.ratio is not None:
        return task.own.ratio
    return CLASS_RATIO if task.classes_only else OTHER_RATIO


def plan(task: UnlearningTask, own: MemorizationSettings) -> Plan:
    """Plan FedMemPrune: reset the weights that a round on the retain set moves least; fine-tune.

    The locating round is the first one of the recovery, and its update is applied before the reset
    (default `reset_order`); `recovery_rounds` counts the rounds after it.

    Deviation: clients are weighted as in the run (`client_weights`); the published code weights
    them equally, as does the preset.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026, arXiv
        2605.24545).
    """
    report = dict(
        ratio=ratio_of(task),
        saliency=own.saliency,
        scope=own.ratio_scope,
        include=own.include,
        zero_updates=own.zero_updates,
        rule=own.reset_rule,
        order=own.reset_order,
        client_weights=task.recovering.client_weights,
    )

    def rounds_by(keep: Callable | None) -> Callable:
        engine = rounds_of(
            task.recovering,
            task.source.model,
            training=task.training,
            keep=keep,
            gather=task.source.federation.history.keeps,
            seed=task.seed,
        )

        def run_round(state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
            after, happened = engine(state, cohort)
            if state.finished == 0:
                after = dataclasses.replace(after, weights=_reset(task, state, after, report))
                task.tell(report)
            return after, happened

        return run_round

    return Plan(
        task.source.state.weights,
        1 + task.recovery_rounds,
        own.stop_rule,
        task.training,
        report=report,
        rounds_by=rounds_by,
        cost=_extra_cost(task),
        settles_after=1,
    )


def _reset(
    task: UnlearningTask, before: ServerState, after: ServerState, report: dict
) -> list[np.ndarray]:
    """Return the weights after the reset, and write its findings into the report."""
    own, model = task.own, task.source.model
    masks = locate_weights(task, before.weights, after.weights)
    earlier = len(task.source.requests)  # each request has a seed of its own
    seed = int(integers(task.seed, "reset", *([earlier] if earlier else []))[0])
    start = after if own.reset_order == "apply_then_reset" else before
    report.update(dataclasses.asdict(masks.location), reset_seed=seed)
    names = weight_names(model)  # nested models may repeat names
    report["shares"] = {
        name if names.count(name) == 1 else f"{name} ({place})": share
        for place, (name, share) in enumerate(zip(names, masks.location.shares))
    }
    return reset(start.weights, masks, rule=own.reset_rule, seed=seed, model=model)


def locate_weights(
    task: UnlearningTask, before: list[np.ndarray], after: list[np.ndarray]
) -> Located:
    """Return the entries to reset, given the weights before and after an ordinary round."""
    own = task.own
    return locate(
        before,
        changes_of(task, before, after),
        ratio_of(task),
        scope=own.ratio_scope,
        include=own.include,
        saliency=own.saliency,
        zero_updates=own.zero_updates,
        model=task.source.model,
        rng=generator(task.seed, "random saliency"),
    )


def changes_of(
    task: UnlearningTask, before: list[np.ndarray], after: list[np.ndarray]
) -> list[np.ndarray]:
    """Return the arrays that the saliency is computed from: the round's weight changes, those of
    the forget set alone, or the mean gradient on the retain set."""
    look = SALIENCIES[task.own.saliency].of
    if look == "forgotten":
        return _of_forgotten(task, before)
    if look == "gradient":
        return _gradient(task, before)
    return [new - old for new, old in zip(after, before)]


def _of_forgotten(task: UnlearningTask, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return the mean weight change of clients that train on the forget set, for the saliency."""
    leaving = task.leaving
    engine = gathering_rounds_of(leaving, task.source.model, training=task.training, seed=task.seed)
    number = task.source.rounds + 1
    updates = engine.gather(weights, leaving.cohort(number, leaving.clients.present))
    stack, counts = updates.stack.astype(np.float64), engine.shares(updates)
    mean = (
        np.average(stack, axis=0, weights=counts) if len(stack) else np.full(stack.shape[1], np.nan)
    )
    return from_vector(mean.astype(np.float32), [weight.shape for weight in weights])


def _gradient(task: UnlearningTask, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return the mean of the remaining clients' gradients, weighted as in a round."""
    model, federation = task.source.model, task.recovering
    model.set_weights(weights)
    held = federation.held(task.source.rounds + 1)
    equal = federation.client_weights == "uniform"
    gradient_of = mean_gradient_of(model)
    return mean_delta_of(
        [gradient_of(held.features[held.rows(k)], held.labels[held.rows(k)]) for k in held.present],
        None if equal else held.sizes[held.present],
    )


def _extra_cost(task: UnlearningTask) -> Cost:
    """Return the cost of the saliency in addition to the locating round."""
    look = SALIENCIES[task.own.saliency].of
    if look == "forgotten":
        cost = round_cost(
            task.leaving.clients.sizes[task.leaving.clients.present], task.training, task.parameters
        )
        return dataclasses.replace(cost, rounds=0)  # they train within the locating round
    if look == "gradient":
        sizes = task.recovering.clients.sizes[task.recovering.clients.present]
        once = dataclasses.replace(task.training, local_epochs=1)  # one pass over all their data
        return dataclasses.replace(round_cost(sizes, once, task.parameters), rounds=0, bytes_down=0)
    return Cost()


def describe(report: dict) -> list[str]:
    text = (
        f"ratio {report['ratio']:g}, saliency {report['saliency']}, reset rule {report['rule']}, "
        f"client weights {report['client_weights']}"
    )
    if "count" not in report:  # the locating round has not run yet
        return [text, "one round on the retain set measures the saliency"]
    threshold = report["threshold"]
    return [
        text,
        f"{report['count']:,} of {report['eligible']:,} weights reset ("
        + (f"threshold {threshold:.3g}, " if threshold is not None else "")
        + f"{report['zeros']:,} of zero saliency); share by layer "
        + ", ".join(f"{name} {part:.0%}" for name, part in _extremes(report["shares"])),
    ]


def _extremes(shares: dict[str, float]) -> list[tuple[str, float]]:
    """Return the three arrays with the largest shares and the one with the smallest above zero."""
    ranked = sorted((item for item in shares.items() if item[1] > 0), key=lambda item: -item[1])
    return ranked if len(ranked) <= 4 else [*ranked[:3], ranked[-1]]


MEMORIZATION = UnlearningMethod(
    name="memorization",
    summary="FedMemPrune: re-initializes the weights that a round on the retain set moves least; "
    "recovery",
    paper="Wei et al., KDD 2026, arXiv 2605.24545",
    settings=MemorizationSettings,
    plan=plan,
    default_for="anything",
    describe=describe,
    milder=lambda task, plan: f"--ratio {0.5 * ratio_of(task):.2g}",
    control=Control(
        "random reset", {"saliency": "random", "zero_updates": "exclude"}, marked_by="saliency"
    ),
)
