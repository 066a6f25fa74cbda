"""Choice of the method for a request that names none."""

from __future__ import annotations

import dataclasses

from tfunlearn.core.errors import UserError
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.requirements import in_words, require_whole_clients
from tfunlearn.methods.settings import candidates
from tfunlearn.methods.task import UnlearningTask


def default_method(task: UnlearningTask) -> tuple[str, str]:
    """Return the method for a request, and the reason for the choice.

    Methods declare what they are the default for (`UnlearningMethod.default_for`): classes, clients
    that attacked, or anything; the latter is chosen if no other one fits.

    Args:
        task: the task; its settings name no method.
    """
    default = {method.default_for: method for method in candidates()}
    if task.classes_only:
        return _or_anything(task, default["classes"], default["anything"], "made for classes")
    try:
        require_whole_clients(task, default["attackers"].name)
    except UserError:
        return default["anything"].name, "the request is not whole clients only"
    if len(task.honest):
        return default["anything"].name, (
            f"{in_words(task.honest, 'client')} did not attack; {default['attackers'].name} was "
            "made for attackers"
        )
    return _or_anything(
        task, default["attackers"], default["anything"], "made for clients that attacked"
    )


def _or_anything(
    task: UnlearningTask, method: UnlearningMethod, anything: UnlearningMethod, reason: str
) -> tuple[str, str]:
    """Return a method and the reason; if it is infeasible, the method for anything and why."""
    own = dataclasses.replace(task, settings=task.settings.candidate(method.name))
    infeasible_reason = method.infeasible_reason(own, method.rounds_to_wait(own) > 0)
    if infeasible_reason is None:
        return method.name, reason
    return anything.name, f"{method.name} cannot work here: {infeasible_reason}"
