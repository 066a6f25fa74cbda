"""Declarations of attacks, and their family.

A file of this folder that defines a `DataAttack` or an `UpdateAttack` adds an attack: its settings,
its required knowledge, its function, and its description on the command line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tfunlearn.attacks.poisoning import require_poisoned
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.errors import UserError, choose, require
from tfunlearn.core.families import Family, Method, NoSettings
from tfunlearn.core.fields import option, reporting, require_positional, settings_of, summary_of
from tfunlearn.core.results import as_array

KNOWLEDGE = {
    "partial": "their own updates and the global model",
    "full": "every client's update as well",
}


class Classes(NamedTuple):
    """The classes that a data-poisoning attack confuses.

    Attributes:
        source: class whose examples are relabeled; for display its name.
        target: class that they are relabeled to.
    """

    source: int
    target: int


@dataclass(frozen=True)
class KnowledgeSettings:
    """Settings common to all attacks on updates."""

    knowledge: str = option(
        "partial",
        "What the adversary sees: partial (its own updates and the "
        "global model) or full (every client's update as well).",
    )

    def __post_init__(self):
        choose("knowledge", self.knowledge, KNOWLEDGE)


@dataclass(frozen=True)
class ScaledSettings(KnowledgeSettings):
    """Settings of attacks on updates with a strength."""

    attack_scale: float | None = option(None, "Strength of the attack; none: the attack's default.")

    def __post_init__(self):
        super().__post_init__()
        require(
            "attack_scale",
            self.attack_scale,
            self.attack_scale is None or 0 < self.attack_scale <= 1e6,
            "a number > 0, at most 1e6",
        )

    def scaled(self) -> dict[str, float]:
        """Return the strength as a keyword argument, empty if none is set."""
        return {} if self.attack_scale is None else {"scale": self.attack_scale}


@dataclass(frozen=True, kw_only=True)
class Attack(Method):
    """An attack of the malicious clients."""


@dataclass(frozen=True, kw_only=True)
class DataAttack(Attack):
    """An attack on the training data of malicious clients.

    Attributes:
        poison: `(features, labels, own settings, Classes, rng) -> (features, labels)` of one
            client.
        triggered: `(features, own settings) -> features` with the trigger of a backdoor, on
            which the attack success rate is measured; None if there is no trigger.
        check: `(features, own settings) ->`, raises a `UserError` if the attack does not fit the
            features.
        describe: `(own settings, Classes) -> text` that follows its name.
        needs_other_class: whether the target class must differ from the source class.
        takes_number: whether `poison` takes the attacker's number, from 0, as a sixth argument.
        takes: features that it needs: `"images"`, `"table"`, `"tokens"`, or None (default): any.
    """

    poison: Callable[..., tuple[np.ndarray, np.ndarray]]
    takes_number: bool = False
    triggered: Callable[[np.ndarray, Any], np.ndarray] | None = None
    check: Callable[[np.ndarray, Any], None] = lambda images, own: None
    describe: Callable[[Any, Classes], str] = lambda own, classes: ""
    needs_other_class: bool = False
    takes: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateAttack(Attack):
    """An attack on the updates that malicious clients send.

    Attributes:
        craft: `(view, own settings) -> (c, d)`.
        needs_all: whether it needs every client's update, knowledge `full`.
        needs_spread: kinds of knowledge with which at least two updates must be seen.
        condition: `(clients, malicious, own settings) -> reason or None`: why it cannot be crafted
            in a round of that many clients.
        against: `(own settings, rule) -> (attack, own settings)`, if the attack to run depends on
            the server's rule; else None.
    """

    craft: Callable[[AdversaryView, Any], np.ndarray]
    settings: type = KnowledgeSettings
    needs_all: bool = False
    needs_spread: tuple[str, ...] = ()
    condition: Callable[[int, int, Any], str | None] = lambda clients, malicious, own: None
    against: Callable[[Any, Any], tuple[UpdateAttack, Any]] | None = None

    def __post_init__(self):
        super().__post_init__()
        self._require_settings(KnowledgeSettings)

    def infeasible_reason(self, clients: int, malicious: int, own: Any) -> str | None:
        """Return why the attack cannot be crafted in a round, or None if it can.

        Args:
            clients: number of clients in the round, n.
            malicious: number of malicious clients among them, c.
            own: settings of the attack.
        """
        knowledge = own.knowledge
        if self.needs_all and knowledge != "full":
            return f"knowledge: {self.name} needs full, every client's update; got {knowledge}"
        seen = malicious if knowledge == "partial" else clients - malicious
        if knowledge in self.needs_spread and seen < 2:
            return (
                f"knowledge: {self.name} with knowledge {knowledge} needs at least 2 "
                + (
                    "malicious clients in a round, or knowledge full"
                    if knowledge == "partial"
                    else "benign updates"
                )
                + f"; got {seen}"
            )
        if knowledge == "full" and not seen:
            return f"malicious: {malicious} of {clients} clients leave {self.name} no honest update"
        try:
            return self.condition(clients, malicious, own)
        except UserError as error:
            return str(error)


@dataclass(frozen=True, kw_only=True)
class BoostAttack(Attack):
    """A factor on malicious updates, in addition to a data-poisoning attack.

    Attributes:
        factor: `(clients, malicious) -> factor`.
    """

    factor: Callable[[int, int], float]


def _attack_of(name: str, function: Callable) -> Attack:
    """Return the attack of a plain function.

    `(view, *, settings ...) -> (c, d)` attacks updates. `(features, labels, *, settings ...) ->
    (features, labels)` attacks data, and may also take `source`, `target` and `rng`; `images` is
    another name for `features`.
    """
    takes = "a function `(view, *, ...)` or `(features, labels, *, ...)`"
    words = _parameters(function)
    on_data = words[:2] in (["features", "labels"], ["images", "labels"])
    require_positional(function, 2 if on_data else 1, takes)
    function = reporting("attack", function)
    if on_data:
        knobs = settings_of(function, given=("source", "target", "rng"))

        def poison(features, labels, own, classes, rng):
            given = {"source": classes.source, "target": classes.target, "rng": rng}
            found = function(
                features,
                labels,
                **vars(own),
                **{word: value for word, value in given.items() if word in words},
            )
            return require_poisoned(name, found, features, labels)

        return DataAttack(
            name=name, summary=summary_of(function, name), settings=knobs, poison=poison
        )
    knobs = settings_of(function)
    own_words = list(knobs.__dataclass_fields__)

    def craft(view: AdversaryView, own: Any) -> np.ndarray:
        found = function(view, **{word: getattr(own, word) for word in own_words})
        return as_array("attack", name, found, view.own.shape)

    return UpdateAttack(
        name=name,
        summary=summary_of(function, name),
        settings=_with_knowledge(knobs),
        craft=craft,
    )


def _parameters(function: Callable) -> list[str]:
    """Return the names of a function's parameters; empty if it has no readable signature."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _with_knowledge(knobs: type) -> type:
    """Return the settings of a plain function with the setting `knowledge` added."""
    return dataclass(frozen=True)(type(knobs.__name__, (knobs, KnowledgeSettings), {}))


ATTACKS: Family[Attack] = Family(
    "attack",
    field="attack",
    kind=Attack,
    package="tfunlearn.attacks",
    adapt=_attack_of,
    takes="a function `(view)` or `(features, labels)`",
    flags=TRAIN_FLAGS,
)

__all__ = [
    "ATTACKS",
    "KNOWLEDGE",
    "Attack",
    "BoostAttack",
    "Classes",
    "DataAttack",
    "KnowledgeSettings",
    "NoSettings",
    "ScaledSettings",
    "UpdateAttack",
]
