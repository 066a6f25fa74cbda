"""Unlearning methods built from plain functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfunlearn.core.errors import refuse
from tfunlearn.core.fields import reporting, summary_of
from tfunlearn.core.results import as_weights
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, recovery_plan
from tfunlearn.methods.task import Plan, UnlearningTask


def plain_method(name: str, function: Callable, knobs: type) -> UnlearningMethod:
    """Return the unlearning method of a function `(task, *, knobs ...) -> weights or Plan`.

    If the function returns weights (a list of arrays), ordinary recovery rounds follow, with the
    common recovery settings. The method takes every kind of request.

    Args:
        name: name of the method.
        function: the user's function.
        knobs: dataclass of its keyword-only parameters.
    """
    for field in dataclasses.fields(knobs):
        refuse(
            "method",
            f"{name} with the setting '{field.name}'",
            not hasattr(RecoverySettings, field.name),
            "as this name is used by all unlearning methods; rename the parameter",
        )
    function = reporting("method", function)
    own = [field.name for field in dataclasses.fields(knobs)]
    settings = dataclasses.make_dataclass(
        f"{knobs.__name__}WithRecovery",
        [
            (
                field.name,
                field.type,
                dataclasses.field(default=field.default, metadata=field.metadata),
            )
            for field in dataclasses.fields(knobs)
        ],
        bases=(RecoverySettings,),
        frozen=True,
    )

    def plan(task: UnlearningTask, values) -> Plan:
        found = function(task, **{field: getattr(values, field) for field in own})
        if isinstance(found, Plan):
            return found
        weights = as_weights("method", name, found, task.source.state.weights, or_else="a Plan")
        return recovery_plan(task, weights)

    return UnlearningMethod(
        name=name, summary=summary_of(function, name), settings=settings, plan=plan
    )
