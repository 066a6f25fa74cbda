"""The declaration of an unlearning method, and the family of all of them.

A file of this folder that defines an `UnlearningMethod` adds a method: its settings, what it needs,
what it does, and how its record reads in a report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import settings_of
from tfunlearn.federated.client_work import ClientTraining

if TYPE_CHECKING:
    from tfunlearn.methods.task import Plan, UnlearningTask

DEFAULT_ROUNDS = 10
KINDS = ("clients", "classes", "examples")


@dataclass(frozen=True)
class MethodSettings:
    """Base of all methods' own settings; a method without local training needs no more.

    Attributes:
        keep_defense: whether rounds run under the run's aggregation rule and defenses; default
            False, plain federated averaging.
    """

    keep_defense: ClassVar[bool] = False

    @property
    def stop_rule(self) -> str:
        """The rule that ends recovery."""
        return "rounds"

    @property
    def asks_no_rounds(self) -> bool:
        """Whether the user asked for no recovery at all."""
        return False

    def rounds(self, training_rounds: int) -> int:
        """Return the number of recovery rounds; `training_rounds` of the training from scratch."""
        return DEFAULT_ROUNDS

    def training(self, own: ClientTraining) -> ClientTraining:
        """Return the clients' local training during recovery; `own` is that of the run."""
        return own

    def recorded(self) -> dict[str, Any]:
        """Return the settings as they go into files and fingerprints, the stop rule resolved."""
        found = dataclasses.asdict(self)
        return {**found, "stop": self.stop_rule} if "stop" in found else found


def _nothing(*_: Any) -> Any:
    return None


def _no_words(_: dict) -> list[str]:
    return []


@dataclass(frozen=True)
class Control:
    """A control of a method: the same steps, at random.

    Attributes:
        label: what it does, in a word or two.
        settings: own settings of the method that make it one.
        marked_by: the one of them that tells a control from the method.
    """

    label: str
    settings: Mapping[str, Any]
    marked_by: str


@dataclass(frozen=True, kw_only=True)
class UnlearningMethod(Method):
    """An unlearning method.

    Attributes:
        plan: `(task, own settings) -> Plan`; raises a `UserError` for a task it cannot do.
        requests: kinds of requests it takes (clients, classes, examples), each with the condition
            under which it does, empty if there is none; default all.
        default_for: requests for which it is chosen if no method is named: `"classes"`,
            `"attackers"` or `"anything"`; default none.
        infeasible_reason: `(task, waits) -> reason or None`: why it cannot do a task that it is the
            default for; `waits` tells whether ordinary rounds come first.
        needs_history: whether it reads rounds that the run has kept; default False.
        from_scratch: whether its result does not depend on the run's weights; default False.
        is_reference: whether the other methods are compared with its result; default False.
        rounds_to_wait: `task -> rounds` without the forget set before it may begin; default 0.
        check_before_waiting: `task ->`, raises a `UserError` if it would fail after waiting.
        caution: `task -> warning or None`.
        describe: `report -> phrases`, its record in words.
        remarks: `report -> lines`, printed before the first round.
        milder: `(task, plan) -> flag or None`, such as `--ratio 0.1`: a setting that changes the
            model less, named where the method has ruined it.
        control: settings with which the method acts at random, shown next to it by
            `evaluate --gme`; default none.
    """

    plan: Callable[[UnlearningTask, Any], Plan]
    settings: type[MethodSettings] = MethodSettings
    requests: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(KINDS, "")
    )
    default_for: str | None = None
    infeasible_reason: Callable[[UnlearningTask, bool], str | None] = _nothing
    needs_history: bool = False
    from_scratch: bool = False
    is_reference: bool = False
    rounds_to_wait: Callable[[UnlearningTask], int] = lambda task: 0
    check_before_waiting: Callable[[UnlearningTask], None] = _nothing
    caution: Callable[[UnlearningTask], str | None] = _nothing
    describe: Callable[[dict], list[str]] = _no_words
    remarks: Callable[[dict], list[str]] = _no_words
    milder: Callable[[UnlearningTask, Plan], str | None] = _nothing
    control: Control | None = None


def in_words(name: str, report: dict) -> str:
    """Return a method's record in words, `: this; that`, empty if there is nothing to tell.

    Raises:
        UserError: the method cannot be loaded.
    """
    words = UNLEARNING.find(name).describe(report)
    return ": " + "; ".join(words) if words else ""


def _of_function(name: str, function: Callable) -> UnlearningMethod:
    """Return the method of a plain function `(task, *, settings ...) -> Plan or weights`."""
    from tfunlearn.methods.plain import plain_method

    return plain_method(name, function, settings_of(function))


UNLEARNING: Family[UnlearningMethod] = Family(
    "unlearning",
    field="method",
    kind=UnlearningMethod,
    package="tfunlearn.methods",
    adapt=_of_function,
    takes="a function `task -> weights or Plan`",
)
