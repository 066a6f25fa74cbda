"""Conformance check of an aggregator by name, built-in or third-party."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.aggregation import RULES
from tfunlearn.aggregation.rule import F_NAMES, Round, Rule
from tfunlearn.conformance.aggregators import Finding, check_aggregator, our_subject
from tfunlearn.conformance.properties import RuleUnderTest
from tfunlearn.core.errors import UserError, choose, first_line, refuse
from tfunlearn.core.families import load_object
from tfunlearn.engines import tff_is_usable

UNKNOWN = Rule(
    name="unknown",
    summary="",
    apply=lambda updates, given, own: None,
    least=lambda f: 2 * f + 1,
    condition="n > 2f",
    ignores_huge=True,
)


def check(name: str, *, like: str | None = None, settings: dict | None = None) -> list[Finding]:
    """Return the findings of the conformance suite for an aggregator.

    Args:
        name: a built-in rule, or `module:function` (also `module:Class`, instantiated with its
            settings and then called). It is called with a float32 stack `(n, d)`; f is passed to
            its parameter of a usual name (`f`, `trim`, `num_byzantine`, ...), if it has one.
        like: built-in rule that it should equal: the rule's promises and definition are checked
            too; default: a robust rule without a definition.
        settings: further keyword arguments of the aggregator.

    Raises:
        UserError: there is no such rule or function, or the settings do not fit it.
    """
    if ":" not in name:
        choose("aggregator", name, RULES)
        if like or settings:
            raise UserError(
                f"like, set: not allowed with a built-in rule; give module:function; got {name}"
            )
        return [*check_aggregator(our_subject(name)), same_bits_in_tff(name)]
    call = _wrap_call(_callable(name), settings or {})
    if like is None:
        return check_aggregator(RuleUnderTest(call, UNKNOWN))
    rule = choose("like", like, RULES)
    if rule.reference == "trusted":
        reason = (
            "with a rule that needs the server's own update; write a function that provides one "
            "and leave out --like"
        )
        refuse("like", like, False, reason)

    def oracle(updates: np.ndarray, f: int) -> np.ndarray:
        assert rule.oracle is not None
        return np.array(rule.oracle(updates.astype(float).tolist(), Round(f=f), rule.settings()))

    return check_aggregator(RuleUnderTest(call, rule, oracle))


def same_bits_in_tff(name: str) -> Finding:
    """Check whether a rule gives bit-identical results on arrays and inside TFF, if it is there."""
    rule = RULES[name]
    if rule.needs_arrays(rule.settings()) is not None:
        return Finding("same bits in TFF", None, "it runs on gathered updates only")
    if not tff_is_usable():
        return Finding("same bits in TFF", None, "TensorFlow Federated is not installed")
    from tfunlearn.engines.tff.same_bits import ROUNDS, different_rounds

    different = different_rounds(name)
    return Finding(
        "same bits in TFF",
        different == 0,
        f"{ROUNDS - different} of {ROUNDS} rounds, one with a NaN",
    )


def _callable(name: str) -> Callable:
    found = load_object("aggregator", name)
    if not callable(found):
        raise UserError(
            f"aggregator: {name} must be a function or a class; got a {type(found).__name__}"
        )
    return found


def _require_fit(target: Callable, known, settings: dict, place: str | None) -> None:
    """Check that the target accepts its settings and needs no other arguments."""
    if not known:
        return
    values = [] if inspect.isclass(target) else [None]
    try:
        inspect.signature(target).bind(*values, **settings, **({place: 0} if place else {}))
    except TypeError as error:
        raise UserError(
            f"set: must be arguments of the aggregator, {inspect.signature(target)}; "
            f"{first_line(error)}"
        )


def _wrap_call(target: Any, settings: dict) -> Callable[[np.ndarray, int], Any]:
    """Return `(updates, f) -> vector` for a function, or for a class of callable objects."""
    try:
        known = inspect.signature(target).parameters
    except (TypeError, ValueError):  # some built-in functions have none
        known = {}
    place = next((name for name in F_NAMES if name in known), None)
    if place in settings:
        raise UserError(f"set: {place} must not be set, since the checks set it")
    _require_fit(target, known, settings, place)
    is_class = inspect.isclass(target)

    def call(updates: np.ndarray, f: int) -> Any:
        options = {**settings, **({} if place is None else {place: f})}
        result = target(**options)(updates) if is_class else target(updates, **options)
        return result if result is None else np.asarray(result)

    return call
