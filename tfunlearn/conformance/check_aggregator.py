"""Conformance check of an aggregator by name, built-in or third-party."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.aggregation import RULES, Aggregator, rule_factory
from tfunlearn.aggregation.rule import F_NAMES, Round, Rule
from tfunlearn.conformance.aggregators import Finding, check_aggregator, our_subject
from tfunlearn.conformance.properties import RuleUnderTest
from tfunlearn.core.errors import UserError, choose, first_line, refuse
from tfunlearn.core.families import load_object
from tfunlearn.core.lazy import require_installed, tff
from tfunlearn.workers import local_worker

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
    """Check whether a rule gives bit-identical results on arrays and inside TFF.

    Raises:
        UserError: TensorFlow Federated is not installed.
    """
    require_installed("tensorflow_federated")
    rule, rounds, different = RULES[name], 3, 0
    f = 2
    clients = max(11, rule.least(f))
    settings: dict[str, Any] = {"clip": 1.0} if "clip" in RULES.fields(name) else {}
    aggregator = Aggregator(name, f, **settings)
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 100, clients).astype(np.float32)
    reference = rng.standard_normal(17).astype(np.float32) if rule.reference else None
    with local_worker():
        factory: Any = rule_factory(aggregator, clients=clients)
        process = factory.create(tff.TensorType(np.float32, [17]), tff.TensorType(np.float32))
        state = process.initialize()
        if rule.reference:
            state["reference"] = reference
        for number in range(1, rounds + 1):
            updates = rng.standard_normal((clients, 17)).astype(np.float32)
            if number == rounds:
                updates[4, 3] = np.nan
            output = process.next(state, list(updates), list(weights))
            expected = aggregator(
                updates, weights=weights, reference=reference, round_number=number
            )
            different += output.result.tobytes() != expected.tobytes()
            state = output.state
            if rule.reference == "previous":
                reference = expected
    return Finding(
        "same bits in TFF",
        different == 0,
        f"{rounds - different} of {rounds} rounds, one with a NaN",
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
