"""Preconditions of methods on a task: kinds of requests, kept history, a benign majority."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tfunlearn.core.errors import UserError, require
from tfunlearn.core.history import HistoryRound
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.task import UnlearningTask


def in_words(numbers: Iterable[int], what: str) -> str:
    """Return `client 3` or `clients 3, 4`; at most the first ten numbers are listed."""
    numbers = [int(number) for number in numbers]
    return f"{what}{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers[:10]))}" + (
        ", ..." if len(numbers) > 10 else ""
    )


def methods_for(task: UnlearningTask, *, without_history: bool = False) -> str:
    """Return the methods that take the task's request, as a comma-separated list.

    Args:
        task: the task.
        without_history: whether to list only methods that need no kept history.
    """
    kind = "classes" if task.classes_only else "clients" if covers_clients(task) else "examples"
    found = []
    for name, method in UNLEARNING.items():
        if kind in method.requests and not (without_history and method.needs_history):
            condition = method.requests[kind]
            found.append(f"{name} ({condition})" if condition else name)
    return ", ".join(found)


def covers_clients(task: UnlearningTask) -> bool:
    """Return whether the request covers whole clients and nothing else."""
    held = task.source.remaining.clients
    return int(task.forgotten.sum()) == int(held.sizes[task.flagged].sum())


def require_majority(task: UnlearningTask) -> None:
    """Check that fewer clients are forgotten than remain.

    Raises:
        UserError: no benign majority.
    """
    flagged, benign = len(task.flagged), len(task.remaining.clients.present)
    require(
        "forget",
        f"{flagged} of {flagged + benign} clients",
        flagged < benign,
        "fewer than half, since fedup needs a benign majority",
    )


def missing_history(task: UnlearningTask, need: str, flag: str) -> UserError:
    """Return the error for a history that lacks the rounds a method needs."""
    rounds = task.source.history.rounds
    kept = (
        "no round"
        if not rounds
        else f"round {rounds[0]}"
        if len(rounds) == 1
        else (f"{len(rounds)} rounds, {rounds[0]} to {rounds[-1]}")
    )
    lost = (
        f" (the run before it, {task.source.lost}, is gone or was changed)"
        if (task.source.lost)
        else ""
    )
    return UserError(
        f"history: {task.settings.method} needs {need}; this run has kept {kept}"
        f"{lost}; train with --history {flag}, or take a method that needs none: "
        f"{methods_for(task, without_history=True)}"
    )


def require_whole_clients(task: UnlearningTask, method: str | None = None) -> None:
    """Check that the request covers whole clients and nothing else.

    Raises:
        UserError: it covers something else.
    """
    if not covers_clients(task):
        raise UserError(
            f"forget: must be whole clients with {method or task.settings.method}; got "
            f"{task.request!r}, which is taken by {methods_for(task)}"
        )


def round_of_both_groups(task: UnlearningTask, majority: bool = True) -> HistoryRound:
    """Return the newest kept round in which both forgotten and remaining clients took part.

    Rounds up to the last unlearning do not count: their models still contain what was forgotten
    then.

    Args:
        task: the task.
        majority: whether the benign clients of the round must outnumber the forgotten ones.

    Raises:
        UserError: no such round was kept, or `majority` and no benign majority.
    """
    if majority:
        require_majority(task)
    last = task.source.last_unlearning or 0
    for number in reversed([n for n in task.source.history.rounds if n > last]):
        kept = task.read(number)
        flagged = int(np.isin(kept.ids, task.flagged).sum())
        benign = len(kept.ids) - flagged
        if flagged and benign and (flagged < benign or not majority):
            return kept
    who = "flagged clients and more benign ones" if majority else "forgotten and remaining clients"
    since = f", later than the last unlearning (round {last})" if last else ""
    raise missing_history(task, f"a round with {who}{since}", "last (all, if clients are sampled)")
