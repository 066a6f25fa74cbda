"""Every rule of the contract table through the suite, and the suite against broken rules."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import RULES
from tfunlearn.aggregation.rule import Round
from tfunlearn.conformance.aggregators import check_aggregator, our_subject
from tfunlearn.conformance.properties import PROPERTIES, RuleUnderTest, gaussian_updates


def definition(name, rows, **given):
    """Returns what a rule's definition in plain Python gives."""
    rule = RULES[name]
    return rule.oracle(rows, Round(**given), rule.settings())


@pytest.mark.parametrize("property_name", PROPERTIES)
@pytest.mark.parametrize("name", RULES)
def test_our_rules_keep_their_promises(name, property_name):
    passed, detail = PROPERTIES[property_name](our_subject(name))
    assert passed is None or passed, detail


def test_no_property_is_skipped_for_every_rule():
    for name, check in PROPERTIES.items():
        assert sum(check(our_subject(rule))[0] is not None for rule in RULES) >= 2, name


def failing(call, like="krum") -> set[str]:
    def oracle(updates, f):
        return np.array(definition(like, updates.astype(float).tolist(), f=f))

    findings = check_aggregator(RuleUnderTest(call, RULES[like], oracle))
    return {finding.name for finding in findings if finding.passed is False}


def right(updates, f):
    return RULES["krum"](updates, Round(f=f))


def test_the_suite_finds_what_is_wrong():
    assert failing(right) == set()
    rng = np.random.default_rng(0)

    def noisy(updates, f):
        return right(updates, f) + rng.normal(0, 1e-3, updates.shape[1]).astype(np.float32)

    def mutating(updates, f):
        result = right(updates, f)
        updates *= 0.5
        return result

    def one_neighbor_more(updates, f):
        return right(updates, f - 1) if f else right(updates, f)

    def unchecked(updates, f):
        return right(updates, min(f, (len(updates) - 3) // 2))

    def wide(updates, f):
        return right(updates, f).astype(np.float64)

    def fragile(updates, f):
        result = right(updates, f)
        return result if np.isfinite(updates).all() else result * np.nan

    assert "deterministic" in failing(noisy)
    assert failing(mutating) == {"input unchanged"}
    assert "definition" in failing(one_neighbor_more)
    assert failing(unchecked) == {"condition enforced"}
    assert failing(wide) == {"shape and type"}
    assert failing(fragile) == {"finite under attack", "ignores huge rows", "one NaN"}
    assert failing(lambda updates, f: None) == set(PROPERTIES) - {
        "input unchanged",
        "deterministic",
        "within the benign box",
    }
    assert "ignores huge rows" in failing(lambda updates, f: updates.mean(axis=0))
    assert "within the benign box" in failing(right, like="median")

    def vague(updates, f):
        if len(updates) < 2 * f + 3:
            raise ValueError("matmul: mismatch in size 26")
        return right(updates, f)

    assert failing(vague) == {"condition enforced"}
    assert "permutation" in failing(lambda updates, f: updates[0])
    assert "translation" in failing(lambda updates, f: right(updates, f) / 2)
    assert "scale" in failing(lambda updates, f: np.tanh(right(updates, f)))
    assert "no attackers" in failing(lambda updates, f: right(updates, f) + (f == 0))


def test_an_error_of_the_subject_is_a_finding():
    def broken(updates, f):
        raise RuntimeError("out of order")

    findings = check_aggregator(RuleUnderTest(broken, RULES["median"]))
    assert all(
        "out of order" in finding.detail
        or finding.passed is None
        or "RuntimeError" in finding.detail
        for finding in findings
    )


def test_code_that_ends_the_program_fails_and_does_not_end_it():
    def leaving(updates, f):
        raise SystemExit(0)

    assert {"definition", "finite under attack", "deterministic"} <= failing(leaving)
    everywhere_nan = failing(lambda updates, f: updates[0] * np.float32(np.nan))
    assert {"permutation", "translation", "scale", "definition", "no attackers"} <= everywhere_nan


def test_oracles_by_hand():
    """The plain definitions themselves, on the numbers of test_rules."""

    def rows(*values):
        return [[float(v)] for v in values]

    assert definition("trimmed-mean", rows(9, 1, 2, 4, -50), f=1) == pytest.approx([7 / 3])
    assert definition("krum", rows(0, 1, 2, 3, 10, 11, 100), f=2) == [1]
    assert definition("bulyan", rows(0, 1, 2, 3, 4, 5, 90), f=1) == [2]
    assert definition("norm-bound", [[3, 4], [0, 1], [30, 40]]) == pytest.approx([2, 3])


def test_large_stacks_in_threads_give_what_small_ones_do():
    """Blocks, stripes and threads do not show: a wide stack against its two halves."""
    rng = np.random.default_rng(0)
    updates = rng.standard_normal((11, 40_000)).astype(np.float32)
    for name in ("mean", "trimmed-mean", "median"):
        whole = RULES[name](updates, Round(f=2))
        halves = [RULES[name](part, Round(f=2)) for part in np.split(updates, 2, axis=1)]
        np.testing.assert_array_equal(whole, np.concatenate(halves))
    wide = updates.astype(np.float64)
    distances = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    best = np.sort(distances, axis=1)[:, 1:8].sum(axis=1).argmin()
    np.testing.assert_array_equal(RULES["krum"](updates, Round(f=2)), updates[best])
    assert gaussian_updates(0).shape == (11, 17)


@pytest.mark.parametrize("name", RULES)
def test_settings_keep_to_the_definition(name, rng):
    """Weights, passes, m and compat, which the suite leaves at their defaults."""
    rule, uses = RULES[name], RULES.fields(name)
    variants = (
        [dict(weights=rng.integers(1, 50, 11).astype(float))] * rule.weighted
        + [dict(passes=4)] * ("passes" in uses)
        + [dict(clip=2.0)] * ("clip" in uses)
        + [dict(selected=2), dict(selected=5)] * ("selected" in uses)
        + [dict(compat="flap")] * (name == "median")
    )
    for settings in variants:
        for seed in range(5):
            updates = gaussian_updates(seed)[: 10 + seed % 2]
            own = {k: v for k, v in settings.items() if k != "weights"}
            given = Round(
                f=2,
                weights=settings["weights"][: len(updates)] if "weights" in settings else None,
                reference=updates[0] if rule.reference else None,
            )
            np.testing.assert_allclose(
                rule(updates, given, **own),
                rule.oracle(updates.astype(float).tolist(), given, rule.settings(**own)),
                atol=1e-5,
            )


@pytest.mark.parametrize("f", [0, 1, 3])
def test_nearest_neighbor_mixing_against_its_definition(f, rng):
    from tfunlearn.aggregation import nearest_neighbor_mixing

    updates = rng.standard_normal((9, 5)).astype(np.float32)
    expected = [
        updates[np.argsort(np.square(updates - row).sum(axis=1))[: 9 - f]].mean(axis=0)
        for row in updates
    ]
    np.testing.assert_allclose(nearest_neighbor_mixing(updates, f=f), expected, atol=1e-6)
