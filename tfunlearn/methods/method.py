"""The declaration of an unlearning method, and the family of unlearning methods.

A file of this folder that defines an `UnlearningMethod` adds a method: its settings, its
requirements, its plan, and the description of its record in a report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tfunlearn.core.declarations import UNLEARN_FLAGS
from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import require_positional, settings_of
from tfunlearn.local_training.client_work import ClientTraining

if TYPE_CHECKING:
    from tfunlearn.methods.task import Plan, UnlearningTask

DEFAULT_ROUNDS = 10
KINDS = ("clients", "classes", "examples")


@dataclass(frozen=True)
class MethodSettings:
    """Base class of the methods' own settings; sufficient for methods without local training.

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
        """Whether the user asked for zero recovery rounds."""
        return False

    def rounds(self, training_rounds: int) -> int:
        """Return the number of recovery rounds, given the rounds of the training from scratch."""
        return DEFAULT_ROUNDS

    def training(self, own: ClientTraining) -> ClientTraining:
        """Return the clients' local training during recovery; `own` is the run's."""
        return own

    def recorded(self) -> dict[str, Any]:
        """Return the settings as stored in files and fingerprints, with the stop rule resolved."""
        found = dataclasses.asdict(self)
        return {**found, "stop": self.stop_rule} if "stop" in found else found


def _nothing(*_: Any) -> Any:
    return None


def _no_words(_: dict) -> list[str]:
    return []


@dataclass(frozen=True)
class Control:
    """A control of a method: the same steps with random choices.

    Attributes:
        label: a short name of the control.
        settings: values of the method's own settings that make it the control.
        marked_by: the setting among them that distinguishes the control from the method.
    """

    label: str
    settings: Mapping[str, Any]
    marked_by: str


@dataclass(frozen=True, kw_only=True)
class UnlearningMethod(Method):
    """An unlearning method.

    Attributes:
        plan: `(task, own settings) -> Plan`; raises a `UserError` for an infeasible task.
        requests: accepted kinds of requests (clients, classes, examples), each with the condition
            on which it is accepted, empty if there is none; default all.
        default_for: requests for which it is chosen if no method is named: `"classes"`,
            `"attackers"` or `"anything"`; default none.
        infeasible_reason: `(task, waits) -> reason or None`: why the method cannot do a task for
            which it is the default; `waits` is whether ordinary rounds come first.
        needs_history: whether it reads kept rounds of the run; default False.
        from_scratch: whether its result does not depend on the run's weights; default False.
        is_reference: whether the other methods are compared with its result; default False.
        rounds_to_wait: `task -> number of rounds` without the forget set before it may begin;
            default 0.
        check_before_waiting: `task ->`, raises a `UserError` if it would fail after waiting.
        caution: `task -> warning or None`.
        describe: `report -> phrases` that describe its record.
        remarks: `report -> lines`, printed before the first round.
        milder: `(task, plan) -> flag or None`, such as `--ratio 0.1`: a setting that changes the
            model less, suggested if the method has ruined it.
        control: settings with which the method makes random choices, shown next to it by `evaluate
            --gme`; default none.
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

    def __post_init__(self):
        super().__post_init__()
        self._require_settings(MethodSettings)


def in_words(name: str, report: dict) -> str:
    """Return the description of a method's record as `: phrase; phrase`, empty if there is none.

    Raises:
        UserError: the method cannot be loaded.
    """
    words = UNLEARNING.find(name).describe(report)
    return ": " + "; ".join(words) if words else ""


def _of_function(name: str, function: Callable) -> UnlearningMethod:
    """Return the method of a plain function `(task, *, settings ...) -> Plan or weights`."""
    from tfunlearn.methods.plain import plain_method

    require_positional(function, 1, "a function `(task, *, ...)`")
    return plain_method(name, function, settings_of(function))


UNLEARNING: Family[UnlearningMethod] = Family(
    "unlearning",
    field="method",
    kind=UnlearningMethod,
    package="tfunlearn.methods",
    adapt=_of_function,
    takes="a function `task -> weights or Plan`",
    reserved=("method", "forget", "unlearn_seed", "reference", "own", "given"),
    flags=UNLEARN_FLAGS,
)
