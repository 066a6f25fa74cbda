"""Properties of the conformance suite: one check function each, of an aggregator under test.

A check returns whether the property holds (None if the rule does not promise it or it cannot be
checked) and a description of the observation. To add a property, add a function and an entry in
`PROPERTIES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.rule import Rule
from tfunlearn.conformance.finding import text_of
from tfunlearn.core.errors import Terminated

F, SIZE = 2, 17
HOSTILE = {
    "NaN": np.nan,
    "Inf": np.inf,
    "-Inf": -np.inf,
    "1e30": 1e30,
    "-1e30": -1e30,
    "3e38": 3e38,
    "1e-42": 1e-42,
}


@dataclass(frozen=True)
class RuleUnderTest:
    """An aggregator under test.

    Attributes:
        call: `(updates (n, d) float32, f) -> (d,)`.
        rule: the row of the contract table that it should fulfill.
        oracle: reference implementation `(updates, f) -> (d,)` in plain Python, or None.
        averages: `updates -> (d,)`, the aggregator with f = 0 and settings under which it equals
            the mean, or None.
    """

    call: Callable[[np.ndarray, int], np.ndarray]
    rule: Rule
    oracle: Callable[[np.ndarray, int], np.ndarray] | None = None
    averages: Callable[[np.ndarray], np.ndarray] | None = None


def gaussian_updates(seed: int, rule: Rule | None = None, f: int = F) -> np.ndarray:
    """Return standard normal updates `(n, 17)`, with n = 11 or more if the rule needs it for f."""
    rows = 11 if rule is None else max(11, rule.least(f))
    return np.random.default_rng(seed).standard_normal((rows, SIZE)).astype(np.float32)


def _result(subject: RuleUnderTest, updates: np.ndarray, f: int = F) -> np.ndarray:
    result = subject.call(updates.copy(), f)
    if result is None or np.shape(result) != updates.shape[1:]:
        raise TypeError(
            f"returns {'None' if result is None else np.shape(result)}, not a vector "
            f"of {updates.shape[1]}"
        )
    return np.asarray(result, np.float64)


def _same(left: np.ndarray, right: np.ndarray, size: float = 1.0) -> tuple[bool, str]:
    worst = np.max(np.abs(left - right))
    return bool(worst <= 1e-4 * size), f"largest difference {worst:.2g}"


def _shape(subject: RuleUnderTest) -> tuple[bool, str]:
    result = subject.call(gaussian_updates(0, subject.rule), F)
    kind = getattr(result, "dtype", None)
    return (
        np.shape(result) == (SIZE,) and kind == np.float32,
        f"{kind} of shape {np.shape(result)}; float32 ({SIZE},) is expected",
    )


def _permutation(subject: RuleUnderTest) -> tuple[bool, str]:
    worst = 0.0
    for seed in range(20):  # f = 3, since with f < 3 the last pick of Bulyan is always a tie
        updates = gaussian_updates(seed, subject.rule, 3)
        order = np.random.default_rng(seed).permutation(len(updates))
        worst = np.maximum(
            worst, np.abs(_result(subject, updates, 3) - _result(subject, updates[order], 3)).max()
        )
    return worst <= 1e-4, f"largest difference {worst:.2g} over 20 shuffles"


def _translation(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if not subject.rule.translates:
        return None, "not tested: only for rules that declare it (translates)"
    updates = gaussian_updates(1, subject.rule)
    shift = np.random.default_rng(2).integers(-8, 9, SIZE).astype(np.float32)
    near = _same(_result(subject, updates + shift), _result(subject, updates) + shift)
    coarse = np.round(updates * 64) / 64  # makes the sums below exact in float32
    far = _same(_result(subject, coarse + np.float32(4096)), _result(subject, coarse) + 4096, 10)
    return near[0] and far[0], f"{near[1]}; shifted by 4096: {far[1]}"


def _scale(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if not subject.rule.scales:
        return None, "not tested: only for rules that declare it (scales)"
    updates = gaussian_updates(3, subject.rule)
    base, worst = _result(subject, updates), 0.0
    for factor in (2.0**-10, 0.1, 3.0, 2.0**10):
        scaled = _result(subject, updates * np.float32(factor))
        worst = np.maximum(worst, np.abs(scaled / factor - base).max())
    return worst <= 1e-4, f"largest relative difference {worst:.2g}"


def _without_attackers(subject: RuleUnderTest) -> tuple[bool, str]:
    updates = gaussian_updates(4, subject.rule, 0)
    if subject.averages is not None:
        same, detail = _same(np.asarray(subject.averages(updates)), updates.mean(axis=0))
        return same, f"from the mean: {detail}"
    result = _result(subject, updates, 0)
    if subject.oracle is not None:
        same, detail = _same(result, subject.oracle(updates, 0))
        return same, f"from its definition: {detail}"
    return bool(np.isfinite(result).all()), "finite" if np.isfinite(result).all() else "not finite"


def _hostile(subject: RuleUnderTest, check: Callable) -> tuple[bool, str]:
    bad = []
    for name, value in HOSTILE.items():
        for place in (slice(0, F), slice(-F, None)):
            updates = gaussian_updates(6, subject.rule)
            updates[place] = value
            benign = np.delete(
                updates,
                np.r_[place] if place.start >= 0 else np.arange(len(updates) - F, len(updates)),
                axis=0,
            )
            try:
                if not check(_result(subject, updates), benign):
                    bad.append(name)
            except Terminated:
                raise
            except (Exception, SystemExit) as error:  # one failure must not stop the rest
                bad.append(f"{name} ({type(error).__name__})")
    bad = list(dict.fromkeys(bad))
    return not bad, f"fails with {F} rows of {', '.join(bad)}" if bad else f"all {len(HOSTILE)}"


def _finite(subject: RuleUnderTest) -> tuple[bool, str]:
    return _hostile(subject, lambda result, benign: np.isfinite(result).all())


def _beyond(result: np.ndarray, benign: np.ndarray) -> float:
    """Return the largest distance outside the bounding box of the benign rows; <= 0 inside."""
    return float(np.max(np.maximum(benign.min(axis=0) - result, result - benign.max(axis=0))))


def _huge(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if not (subject.rule.in_box or subject.rule.ignores_huge):
        return None, "the rule does not promise it"
    return _hostile(subject, lambda result, benign: _beyond(result, benign) <= 1e-5)


def _subtle(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if not subject.rule.in_box:
        return None, "the rule does not promise it"
    worst = -np.inf
    for seed in range(100):
        rng = np.random.default_rng(seed)
        updates = gaussian_updates(seed, subject.rule)
        benign = updates[F:] if seed % 2 else np.where(updates[F:] > 0, 10, 0).astype(np.float32)
        crafted = np.repeat(benign.mean(axis=0)[None], F, axis=0)
        crafted[:, rng.integers(SIZE)] = benign.max() + np.float32(rng.random())
        result = _result(subject, np.concatenate([crafted, benign]))
        worst = np.maximum(worst, _beyond(result, benign))
    return worst <= 1e-5, f"{np.maximum(worst, 0):.2g} outside at most, in 100 draws"


def _one_nan(subject: RuleUnderTest) -> tuple[bool, str]:
    updates = gaussian_updates(7, subject.rule)
    updates[3, 5] = np.nan
    finite = np.isfinite(_result(subject, updates)).all()
    return bool(finite), "one NaN in one row" + ("" if finite else " spoils the result")


def _unchanged(subject: RuleUnderTest) -> tuple[bool, str]:
    for f in (F, 0):
        updates = gaussian_updates(8, subject.rule)
        updates[0] *= 100
        before = updates.copy()
        subject.call(updates, f)
        if updates.tobytes() != before.tobytes():
            return False, f"the caller's array is changed (f={f})"
    return True, ""


def _deterministic(subject: RuleUnderTest) -> tuple[bool, str]:
    results = {
        np.asarray(subject.call(gaussian_updates(9, subject.rule), F)).tobytes() for _ in range(5)
    }
    return len(results) == 1, f"{len(results)} result{'s' * (len(results) > 1)} of 5 equal calls"


def _condition(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if not subject.rule.validates_f:
        return None, "it takes no f, or no condition is known"
    least = subject.rule.least(F)
    try:
        subject.call(gaussian_updates(10)[: least - 1], F)
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        told = all(re.search(rf"\b{number}\b", text_of(error)) for number in (least - 1, F))
        return told, "" if told else f"the error does not name n and f: {text_of(error)}"[:160]
    return False, f"n={least - 1}, f={F} is accepted; the rule needs {subject.rule.condition}"


def _oracle(subject: RuleUnderTest) -> tuple[bool | None, str]:
    if subject.oracle is None:
        return None, "no definition to compare with"
    rule, wrong, worst, cases = subject.rule, 0, 0.0, 0
    for seed in range(40):
        f = seed % 3
        updates = gaussian_updates(100 + seed, rule, f)
        if seed % 2:
            updates = np.round(updates * 2) / 2  # ties
        elif rule.least(f) < 11:
            updates = updates[: rule.least(f) + seed % 4]
        difference = np.abs(_result(subject, updates, f) - subject.oracle(updates, f)).max()
        wrong, cases = wrong + (not difference <= 1e-3), cases + 1
        worst = np.maximum(worst, difference)
    return wrong == 0, f"{wrong} of {cases} cases differ, largest difference {worst:.2g}"


PROPERTIES = {
    "shape and type": _shape,
    "permutation": _permutation,
    "translation": _translation,
    "scale": _scale,
    "no attackers": _without_attackers,
    "finite under attack": _finite,
    "ignores huge rows": _huge,
    "within the benign box": _subtle,
    "one NaN": _one_nan,
    "input unchanged": _unchanged,
    "deterministic": _deterministic,
    "condition enforced": _condition,
    "definition": _oracle,
}
