"""Contents of the record of a finished unlearning."""

from __future__ import annotations

import os

import numpy as np

from tfunlearn.core.files import checksum
from tfunlearn.core.records import Forgotten, Recovered
from tfunlearn.methods.settings import candidates, reference_method
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning.stopping import bound_rounds, plateau_round, target_round
from tfunlearn.workflows.unlearn.request import origin_note


def request_fields(task: UnlearningTask, plan: Plan, waited: int) -> dict:
    """Return the record's fields on the request and on the new run's place in the history."""
    source = task.source
    return dict(
        **origin_note(task),
        method=task.settings.method,
        settings=task.settings.recorded(),
        seed=task.seed,
        source=os.path.abspath(source.directory.path),
        source_checkpoint_sha256=checksum(source.directory.checkpoint),
        requests=[*source.requests, list(task.settings.forget)],
        forgotten=Forgotten([int(k) for k in task.flagged], int(np.count_nonzero(task.forgotten))),
        restarts=plan.restarts,
        waited_rounds=waited,
        rounds_before=0 if plan.restarts else source.rounds - waited,
        training_rounds=source.training_rounds,
        settles_after=plan.settles_after,
        unlearned_after_round=0 if plan.restarts else source.rounds + plan.settles_after,
    )


def recovery_outcome(
    task: UnlearningTask, plan: Plan, accuracies: list[float], goal: float
) -> Recovered:
    """Return the number of rounds each stop rule would have taken, None if more than were run.

    Args:
        task: the task.
        plan: the plan.
        accuracies: accuracy on the retain set, at the start of recovery and after each of its
            rounds.
        goal: accuracy on the retain set before unlearning.
    """
    fraction, ran = plan.report.get("fraction"), len(accuracies) - 1
    settled, first = accuracies[plan.settles_after :], plan.settles_after
    plateau = plateau_round(settled) if settled else None
    target = target_round(settled, goal)
    bound = None if fraction is None else bound_rounds(task.source.training_rounds, fraction)
    return Recovered(
        stop=plan.stop,
        reached=target_round(accuracies[-1:], goal) is not None,
        bound=bound if bound is None or bound <= ran else None,
        plateau=None if plateau is None else first + plateau,
        target=None if target is None else first + target,
    )


def failure_in_words(task: UnlearningTask, plan: Plan, cause: str, silent: list[str]) -> str:
    """Return why an unlearning failed and two suggestions, as one line.

    Args:
        task: the task.
        plan: plan of the failed method.
        cause: the guard's reason.
        silent: names of layers without signal at the start of recovery.
    """
    method, milder = task.settings.method, task.method.milder(task, plan)
    ways = [milder] if milder else []
    ways += [
        f"--method {name}"
        for name in (
            *(
                one.name
                for one in candidates()
                if one.default_for == "anything"
                or (one.default_for == "classes" and task.classes_only)
            ),
            reference_method(),
        )
        if name != method
    ]
    signal = f"; no signal passed {', '.join(silent)} when recovery began" if silent else ""
    return f"{method} has ruined the model: {cause}{signal}; try {', or '.join(ways[:2])}"
