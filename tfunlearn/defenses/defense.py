"""Declarations of the server's defenses, and their family.

A file of this folder that defines an `UpdateDefense` or a `ModelDefense` adds a defense: its
settings, its requirements, its function, and its description on the command line.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.errors import require
from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import reporting, require_positional, settings_of, summary_of
from tfunlearn.core.results import as_weights


@dataclass(frozen=True, kw_only=True)
class Defense(Method):
    """A defense of the server, in addition to its aggregation rule.

    Attributes:
        check: `(own settings, gathers) ->`, raises a `UserError` if it cannot run; `gathers` is
            whether updates are gathered.
        idle: `own settings -> {setting: flag that would put it to use}`, for settings without
            effect.
        earlier: values of its settings for runs from before these fields existed.
    """

    check: Callable[[Any, bool], None] = lambda own, gathers: None
    idle: Callable[[Any], dict[str, str]] = lambda own: {}
    earlier: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UpdateDefense(Defense):
    """A defense that rejects updates with the help of examples held by the server.

    Attributes:
        criteria: criteria of rejection: `error`, `loss`.
        settings: must have the fields `reject` and `compat`, like `RejectionSettings`.
    """

    criteria: tuple[str, ...]

    def __post_init__(self):
        super().__post_init__()
        fields = [one.name for one in dataclasses.fields(self.settings)]
        require(
            "settings",
            self.settings.__name__,
            {"reject", "compat"} <= set(fields),
            f"a dataclass with the fields reject and compat, since {self.name} rejects updates",
        )
        require(
            "criteria",
            self.criteria,
            bool(self.criteria) and set(self.criteria) <= {"error", "loss"},
            "a tuple of 'error', 'loss' or both",
        )


@dataclass(frozen=True, kw_only=True)
class ModelDefense(Defense):
    """A defense that changes the global model after an aggregation.

    Attributes:
        build: `(model, own settings, gathers) -> stage`. A stage is called with `(round, weights)`
            and returns `(weights, records by layer)`; one that also runs inside TFF has
            `on_tensors` and `records_of`, like `Flap`.
        inside_tff: whether its stages can run inside TFF.
        describe: `(model, own settings, gathers) -> text` that follows its name.
    """

    build: Callable[[Any, Any, bool], Callable]
    inside_tff: bool = False
    describe: Callable[[Any, Any, bool], str] = lambda model, own, gathers: ""


@dataclass(frozen=True)
class Stages:
    """Several stages, run in sequence."""

    stages: tuple[Callable, ...]

    def __call__(
        self, round_number: int, weights: list[np.ndarray]
    ) -> tuple[list[np.ndarray], dict]:
        records: dict = {}
        for stage in self.stages:
            weights, found = stage(round_number, weights)
            records |= found
        return weights, records


def _defense_of(name: str, function: Callable) -> ModelDefense:
    """Return the defense of a plain function `(weights, *, settings ...) -> weights`.

    The function is called after each aggregation, and may also take `round_number`.
    """
    require_positional(function, 1, "a function `(weights, *, ...)`")
    function = reporting("defense", function)
    takes_round = "round_number" in inspect.signature(function).parameters

    def build(model: Any, own: Any, gathers: bool) -> Callable:
        def stage(round_number: int, weights: list[np.ndarray]) -> tuple[list[np.ndarray], dict]:
            given = {"round_number": round_number} if takes_round else {}
            found = function([weight.copy() for weight in weights], **vars(own), **given)
            return as_weights("defense", name, found, weights), {}

        return stage

    return ModelDefense(
        name=name,
        summary=summary_of(function, name),
        build=build,
        settings=settings_of(function, given=("round_number",)),
    )


DEFENSES: Family[Defense] = Family(
    "defense",
    field="defense",
    kind=Defense,
    package="tfunlearn.defenses",
    adapt=_defense_of,
    takes="a function `weights -> weights`",
    flags=TRAIN_FLAGS,
)
