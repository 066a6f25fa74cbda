"""Declarations of aggregation rules and pre-aggregation steps, and their families.

A file of this folder that defines a `Rule` adds a rule: its settings, its requirements, its
function, and the properties that the conformance suite checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import reporting, require_positional, settings_of, summary_of

EXPECTED_SHARES = {"conservative": 0.1, "perfect": 0.2, "radical": 0.3}  # FLAP's words for f / n
AGGREGATOR_FIELDS = ("rule", "byzantine", "before", "seed", "strict", "sizes")
F_NAMES = (
    "f",
    "trim",
    "n_byzantine",
    "num_byzantine",
    "nb_byzantine",
    "num_malicious",
    "num_malicious_nodes",
    "byzantine",
)


class Round(NamedTuple):
    """Data of a round that a rule may use in addition to the updates.

    Attributes:
        f: number of malicious rows to tolerate.
        weights: number of examples of each row, or None.
        reference: the previous aggregate, or the server's own update.
        rng: random generator of the round.
        strict: whether too few rows raise an error.
        sizes: number of entries of each of the model's tensors, or None.
        model: the global model at the start of the round, `(d,)`, or None.
    """

    f: int = 0
    weights: Any = None
    reference: Any = None
    rng: Any = None
    strict: bool = True
    sizes: tuple[int, ...] | None = None
    model: Any = None


def _always(f: int) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Rule(Method):
    """An aggregation rule.

    Attributes:
        apply: `(updates (n, d), Round, own settings) -> (d,)`.
        least: smallest number of updates for f malicious ones.
        condition: the same as text.
        keeps: `(updates (n, d), Round, own settings) -> bool (n,)`: the rows that it uses, of a
            rule that leaves some out; None for others.
        reference: what the rule needs from the server: the `"previous"` aggregate or a `"trusted"`
            update; None for neither.
        weighted: whether it weights clients by their examples.
        takes_f: whether it takes a number of malicious rows.
        is_mean: whether it is the weighted mean, which TFF computes without gathering updates.
        validates_f: whether the function itself takes f and rejects too few updates.
        needs_arrays: `own settings -> setting or None`: the setting that prevents the rule from
            running on tensors, inside TFF; default none.
        selects_neighbors: whether it selects rows by distances to their neighbors (Krum family),
            which attack fang exploits.
        simulated: `(own settings, rows, f) -> rows`: number of rows that an adversary expects a
            rule of the Krum family to select; default 1.
        without_each: `(stack, f, own settings) -> iterator` over the n leave-one-out aggregates, if
            they can share work; returns None for settings for which they cannot.
        oracle: the definition in plain Python, `(rows, Round, own settings) -> list`.
        translates: whether a shift of all rows shifts the result; otherwise it is zero-centered.
        scales: whether a factor on all rows scales the result.
        in_box: whether with f arbitrary rows every coordinate stays within the range of the others.
        ignores_huge: whether this holds for f rows of ±1e30, which less robust rules satisfy too.
        averages: settings with which it is the plain mean for f = 0, or None.
        tried_with: settings with which the conformance suite tests it.
        noiseless: values of settings with which it draws no random numbers.
    """

    apply: Callable[[Any, Round, Any], Any]
    keeps: Callable[[Any, Round, Any], Any] | None = None
    least: Callable[[int], int] = _always
    condition: str = "n >= 1"
    reference: str | None = None
    weighted: bool = False
    takes_f: bool = True
    is_mean: bool = False
    validates_f: bool = False
    needs_arrays: Callable[[Any], str | None] = lambda own: None
    selects_neighbors: bool = False
    simulated: Callable[[Any, int, int], int] = lambda own, rows, f: 1
    without_each: Callable[[Any, int, Any], Iterator | None] | None = None
    oracle: Callable[[Any, Round, Any], list[float]] | None = None
    translates: bool = True
    scales: bool = True
    in_box: bool = False
    ignores_huge: bool = False
    averages: Mapping[str, Any] | None = None
    tried_with: Mapping[str, Any] | None = None
    noiseless: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, updates: Any, given: Round = Round(), **settings: Any) -> Any:
        """Return the aggregate `(d,)` of updates `(n, d)`, with own settings by name."""
        return self.apply(updates, given, self.settings(**settings))


@dataclass(frozen=True, kw_only=True)
class PreAggregator(Method):
    """A step before an aggregation rule.

    Attributes:
        apply: `(updates, Round, own settings, seed, round number) -> stack`.
        least: smallest number of updates for f malicious ones.
        condition: the same as text.
        rows_left: `(n, own settings) -> number of rows` that the rule receives.
    """

    apply: Callable[[Any, Round, Any, int, Any], Any]
    least: Callable[[int], int] = _always
    condition: str = "n >= 1"
    rows_left: Callable[[int, Any], int] = lambda n, own: n


def _given_f(function: Callable) -> str | None:
    """Return the name of the function's parameter for f, or None."""
    known = inspect.signature(function).parameters
    return next((name for name in F_NAMES if name in known), None)


def _rule_of(name: str, function: Callable) -> Rule:
    """Return the rule of a plain function `(updates, *, f, settings ...) -> (d,)`."""
    require_positional(function, 1, "a function `(updates, *, f)`")
    function = reporting("rule", function)
    place = _given_f(function)
    given = tuple(word for word in (place, "weights", "rng") if word)
    known = inspect.signature(function).parameters

    def apply(updates: Any, context: Round, own: Any) -> Any:
        words = dict(vars(own))
        if place is not None:
            words[place] = context.f
        for word in ("weights", "rng"):
            if word in known:
                words[word] = getattr(context, word)
        return function(updates, **words)

    return Rule(
        name=name,
        summary=summary_of(function, name),
        settings=settings_of(function, given=given),
        apply=apply,
        weighted="weights" in known,
        takes_f=place is not None,
        needs_arrays=lambda own: "rule",
        translates=False,
        scales=False,
    )


def _step_of(name: str, function: Callable) -> PreAggregator:
    """Return the step of a plain function `(updates, *, f, settings ...) -> stack`."""
    require_positional(function, 1, "a function `(updates, *, f)`")
    function = reporting("before", function)
    place = _given_f(function)

    def apply(updates: Any, context: Round, own: Any, seed: int, round_number: Any) -> Any:
        words = dict(vars(own))
        return function(updates, **({place: context.f} if place else {}), **words)

    return PreAggregator(
        name=name,
        summary=summary_of(function, name),
        apply=apply,
        settings=settings_of(function, given=(place,) if place else ()),
    )


RULES: Family[Rule] = Family(
    "rule",
    field="rule",
    kind=Rule,
    package="tfunlearn.aggregation",
    adapt=_rule_of,
    takes="a function `(updates, *, f) -> vector`",
    reserved=AGGREGATOR_FIELDS,
    flags=TRAIN_FLAGS,
)
PRE_AGGREGATORS: Family[PreAggregator] = Family(
    "pre-aggregator",
    field="before",
    kind=PreAggregator,
    package="tfunlearn.aggregation",
    adapt=_step_of,
    takes="a function `(updates, *, f) -> stack`",
    reserved=AGGREGATOR_FIELDS,
    flags=TRAIN_FLAGS,
)
