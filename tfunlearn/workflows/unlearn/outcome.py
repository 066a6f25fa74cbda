"""What goes into the notes of an unlearned run, once it is done."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from tfunlearn.core.files import checksum
from tfunlearn.methods.task import Case, Plan
from tfunlearn.methods.cost import Cost
from tfunlearn.unlearning.stopping import bound_rounds, plateau_round, target_round


def asked(case: Case, plan: Plan, waited: int) -> dict:
    """Returns what was asked, and where the new run stands in the history of the federation."""
    source = case.source
    return dict(
        method=case.settings.method, settings=case.settings.chosen(), seed=case.seed,
        source=os.path.abspath(source.directory.path),
        source_checkpoint_sha256=checksum(source.directory.checkpoint),
        requests=[*source.requests, list(case.settings.forget)],
        forgotten=dict(clients=[int(k) for k in case.flagged],
                       examples=int(np.count_nonzero(case.forgotten))),
        restarts=plan.restarts, waited_rounds=waited,
        rounds_before=0 if plan.restarts else source.rounds - waited,
        training_rounds=source.training_rounds,
        settles_after=plan.settles_after,
        unlearned_after_round=0 if plan.restarts else source.rounds + plan.settles_after)


def recovered(case: Case, plan: Plan, accuracies: list[float], goal: float) -> dict:
    """Returns the rounds that each stop rule would have taken, None where it takes more.

    Args:
        case: what was forgotten.
        plan: how.
        accuracies: on what remains, at the start of recovery and after each of its rounds.
        goal: the accuracy before.
    """
    fraction, ran = plan.report.get("fraction"), len(accuracies) - 1
    settled, first = accuracies[plan.settles_after:], plan.settles_after
    plateau = plateau_round(settled) if settled else None
    target = target_round(settled, goal)
    bound = None if fraction is None else bound_rounds(case.source.training_rounds, fraction)
    return dict(
        stop=plan.stop, reached=target_round(accuracies[-1:], goal) is not None,
        bound=bound if bound is None or bound <= ran else None,
        plateau=None if plateau is None else first + plateau,
        target=None if target is None else first + target)


KNOBS = {  # the flag that makes a method milder, and how: a factor, or a value
    "fedup": ("fraction", 0.5), "memorization": ("ratio", 0.5), "cdp": ("prune_share", 0.5),
    "fedau": ("head_alpha", 0.5), "pga": ("ascent_lr", 0.1), "fedosd": ("unlearn_lr", 0.1),
    "ablation-channel": ("recovery_lr", 0.1), "not": ("recovery_lr", 0.1),
    "finetune": ("recovery_lr", 0.1), "exclude": ("recovery_lr", 0.1),
    "rapid-retrain": ("recovery_lr", 0.1)}


def failure_in_words(case: Case, plan: Plan, cause: str, silent: list[str]) -> str:
    """Returns why an unlearning failed and two ways out, as one line.

    Args:
        case: the task.
        plan: of the method that failed.
        cause: what the guard says.
        silent: layers without signal when recovery began.
    """
    method = case.settings.method
    others = [name for name in ("memorization", "ablation-channel", "retrain")
              if name != method and (name != "ablation-channel" or case.classes_only)]
    ways = []
    if method in KNOBS and not (method == "fedau" and case.classes_only):
        name, factor = KNOBS[method]
        used = getattr(case.settings, name)
        used = plan.report.get(name, plan.training.lr if name == "recovery_lr" else case.ratio
                               if name == "ratio" else used) if used in (None, "auto") else used
        ways.append(f"--{name.replace('_', '-')} {factor * used:.2g}")
    ways += [f"--method {name}" for name in others]
    signal = f"; no signal passed {', '.join(silent)} when recovery began" if silent else ""
    return f"{method} has ruined the model: {cause}{signal}; try {ways[0]}, or {ways[1]}"


def rounded(cost: Cost) -> dict:
    """Returns a cost as it goes into the notes, seconds to the millisecond."""
    return {name: round(value, 3) for name, value in dataclasses.asdict(cost).items()}
