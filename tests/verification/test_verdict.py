"""The verdict: its rates of error by simulation, its figures by hand, its words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from tfunlearn.core.errors import UserError
from tfunlearn.verification import Evidence, detectable_gap, grade, judge
from tfunlearn.verification.verdict import (
    DAMAGED,
    FORGOTTEN,
    LEVEL,
    NOT_SHOWN,
    OVER,
    REMEMBERS,
    words_of,
)

DRAWS = 1000
STATED = {  # K -> failed, forgotten, not shown in percent; the rule's own table, m = 5
    3: {
        ("perfect", 8): (4, 27, 69),
        ("perfect", 16): (4, 70, 26),
        ("untouched", 4): (32, 0, 68),
        ("untouched", 8): (73, 0, 27),
        ("half way", 8): (31, 3, 66),
        ("half way", 16): (73, 0, 27),
    },
    5: {
        ("perfect", 8): (4, 63, 34),
        ("perfect", 16): (4, 96, 0),
        ("untouched", 4): (69, 0, 31),
        ("untouched", 8): (100, 0, 0),
        ("half way", 8): (70, 2, 28),
        ("half way", 16): (100, 0, 0),
    },
    10: {
        ("perfect", 8): (4, 79, 17),
        ("perfect", 16): (4, 96, 0),
        ("untouched", 4): (93, 0, 7),
        ("untouched", 8): (100, 0, 0),
        ("half way", 8): (93, 0, 7),
        ("half way", 16): (100, 0, 0),
    },
}
STATED_DAMAGE = {3: {4: 18, 8: 52}, 5: {4: 47, 8: 95}, 10: {4: 76, 8: 97}}


def draws(models, kind, gap, measures=5, correlation=0.5, count=DRAWS, seed=0):
    """Verdicts' words for simulated unlearnings: measures of standard deviation 1, equally
    correlated, the last of them a utility; the model before lies `gap` off in all others."""
    rng = np.random.default_rng([seed, models, measures, int(gap)])
    shared = math.sqrt(correlation) * rng.normal(size=(count, models + 2, 1))
    values = shared + math.sqrt(1 - correlation) * rng.normal(size=(count, models + 2, measures))
    utility = np.arange(measures) == measures - 1 if measures > 1 else np.zeros(1, bool)
    before = values[:, models] + np.where(utility, 0, 8 if kind == "less useful" else gap)
    after = {
        "perfect": values[:, -1],
        "untouched": before,
        "half way": values[:, -1] + np.where(utility, 0, gap / 2),
        "less useful": values[:, -1] - np.where(utility, gap, 0),
    }[kind]
    for b, u, retrained in zip(before, after, values[:, :models]):
        yield words_of(
            grade(
                [
                    Evidence(
                        f"measure {j}", b[j], u[j], tuple(retrained[:, j]), 0.0, bool(utility[j])
                    )
                    for j in range(measures)
                ]
            )
        )


def rates(words):
    """Shares of failed, forgotten and not shown."""
    words = list(words)
    failed = np.mean([bool({REMEMBERS, OVER, DAMAGED} & set(w)) for w in words])
    return (
        failed,
        np.mean([w == [FORGOTTEN] for w in words]),
        np.mean([w == [NOT_SHOWN] for w in words]),
    )


def error_of(share, count=DRAWS):
    """Four standard errors of a simulated share, and half a point of rounding."""
    return 4 * math.sqrt(max(share * (1 - share), 0.01) / count) + 0.005


@pytest.mark.parametrize(
    "models, kind, gap", [(models, *cell) for models, cells in STATED.items() for cell in cells]
)
def test_the_stated_rates(models, kind, gap):
    for found, stated in zip(rates(draws(models, kind, gap)), STATED[models][kind, gap]):
        assert abs(found - stated / 100) <= error_of(stated / 100)


@pytest.mark.parametrize("models, gap", [(k, gap) for k in STATED_DAMAGE for gap in (4, 8)])
def test_the_stated_rates_of_damage(models, gap):
    stated = STATED_DAMAGE[models][gap] / 100
    found = np.mean([words == [DAMAGED] for words in draws(models, "less useful", gap)])
    assert abs(found - stated) <= error_of(stated)


@pytest.mark.parametrize("measures", [1, 5, 10])
@pytest.mark.parametrize("models", [3, 5, 10])
def test_perfect_unlearnings_fail_no_oftener_than_the_level_and_untouched_ones_never_pass(
    models, measures
):
    failed, *_ = rates(draws(models, "perfect", 16, measures, correlation=0.0, count=500, seed=1))
    assert failed <= LEVEL + error_of(LEVEL, 500)
    for gap in (0, 4, 16):
        assert rates(draws(models, "untouched", gap, measures, count=100))[1] == 0


def test_more_retrained_models_see_more():
    found = [rates(draws(models, "untouched", 4, count=300))[0] for models in (3, 4, 6, 10)]
    assert found == sorted(found)
    gaps = [detectable_gap(models, 5) for models in range(3, 12)]
    assert gaps == sorted(gaps, reverse=True)


@pytest.mark.parametrize(
    "models, stated",
    [
        (3, [(5.6, 7.3), (9.9, 12.7), (12.8, 16.4), (18.2, 23.2)]),
        (5, [(3.3, 4.4), (4.6, 6.0), (5.4, 6.8), (6.5, 8.2)]),
        (10, [(2.5, 3.5), (3.2, 4.2), (3.6, 4.6), (4.0, 5.1)]),
    ],
)
def test_noise_and_detectable_gap_in_deviations(models, stated):
    spread = (-1.0, 1.0, *[0.0] * (models - 2))
    values = tuple(np.array(spread) / np.std(spread, ddof=1))
    for measures, (noise, gap) in zip((1, 3, 5, 10), stated):
        assert Evidence("m", 0, 0, values, 0).noise(measures) == pytest.approx(noise, abs=0.05)
        assert detectable_gap(models, measures) == pytest.approx(gap, abs=0.05)
    damage = {3: (9.0, 11.6), 5: (4.4, 5.7), 10: (3.1, 4.1)}[models]
    assert Evidence("m", 0, 0, values, 0, True).noise(5) == pytest.approx(damage[0], abs=0.05)
    assert detectable_gap(models, 5, sides=1) == pytest.approx(damage[1], abs=0.05)


def test_a_detectable_gap_is_noticed_four_times_in_five(rng):
    """By brute force: shifted normal values outside the noise of five others."""
    gap = detectable_gap(5, 1)
    limit = t.isf(LEVEL / 2, 4) * math.sqrt(1 + 1 / 5)
    values = rng.normal(size=(20_000, 6))
    others = values[:, :5]
    noticed = np.abs(values[:, 5] + gap - others.mean(axis=1)) > limit * others.std(axis=1, ddof=1)
    assert noticed.mean() == pytest.approx(0.8, abs=0.012)


def one(before, after, retrained, **options):
    return judge([Evidence("forgotten accuracy", before, after, tuple(retrained), **options)])


def test_an_untouched_model_remembers():
    """Before 0.04, after 0.04, retrained 0.17, 0.20, 0.24, 0.26: once called partly forgotten."""
    found = one(0.04, 0.04, (0.17, 0.20, 0.24, 0.26))
    assert found.word == REMEMBERS and found.words == (REMEMBERS,)


def test_noise_by_hand():
    # M = 0.5, s = 0.1: t(0.98, 2) = 4.849 and sqrt(4/3); rounding of 10 examples: s^2 + 1/1200
    e = Evidence("m", 1, 1, (0.4, 0.5, 0.6), 0.01)
    assert e.mean == 0.5 and e.spread == pytest.approx(0.1)
    assert e.noise() == pytest.approx(t.isf(0.02, 2) * 0.1 * math.sqrt(4 / 3))
    assert Evidence("m", 1, 1, (0.4, 0.5, 0.6), 0.01, examples=10).spread == pytest.approx(
        math.sqrt(0.01 + 1 / 1200)
    )
    assert Evidence("m", 1, 1, (0.5, 0.5, 0.5), 0.02).noise(5) == 0.02  # the tolerance
    assert Evidence("m", 1, 1, (0.5,), 0.02).spread is None


def test_sides():
    tight = (0.50, 0.51, 0.49, 0.50, 0.505)
    assert one(0.9, 0.8, tight).word == REMEMBERS
    assert one(0.9, 0.2, tight).word == OVER
    assert one(0.9, 0.5, tight).word == FORGOTTEN
    assert one(0.51, 0.5, tight).word == NOT_SHOWN
    assert one(0.51, 0.9, tight).word == REMEMBERS  # it cannot tell, but this is far from both
    utility = [
        Evidence("test accuracy", 0.9, after, (0.90, 0.91, 0.89, 0.90, 0.905), utility=True)
        for after in (0.1, 0.99)
    ]
    damaged, better = (judge([Evidence("m", 0.9, 0.5, tight), u]) for u in utility)
    assert damaged.words == (DAMAGED,) and better.word == FORGOTTEN
    both = judge([Evidence("forgotten accuracy", 0.9, 0.8, tight), utility[0]])
    assert both.words == (DAMAGED, REMEMBERS)  # the farthest first


def test_utility_alone_is_no_proof_of_forgetting():
    """Test accuracy was low before and is back: that says nothing of what was to be forgotten."""
    spread = (0.945, 0.95, 0.955, 0.95, 0.95)
    found = judge(
        [
            Evidence("forgotten accuracy", 0.90, 0.90, (0.90, 0.91, 0.89, 0.90, 0.90)),
            Evidence("test accuracy", 0.80, 0.95, spread, utility=True),
        ]
    )
    assert found.word == NOT_SHOWN


def test_no_difference_found_is_not_forgotten():
    """Half way, within a wide noise: the equivalence test does not let it pass."""
    wide = (0.40, 0.50, 0.60, 0.45, 0.55)
    assert one(1.3, 0.75, wide).word == NOT_SHOWN
    assert "did not significantly close more than half" in one(1.3, 0.75, wide).sentence
    assert one(1.3, 0.5, wide).word == FORGOTTEN


def test_a_measure_with_its_own_null_distribution():
    tight, others = (0.5, 0.51, 0.49, 0.5, 0.5), [("m", 0.9, 0.5)]

    def with_p(p):
        return judge(
            [
                *(Evidence(n, b, a, tight) for n, b, a in others),
                Evidence("U-LiRA, AUC", 0.8, 0.7, (0.5,), p_value=p),
            ]
        )

    assert with_p(0.02).word == REMEMBERS and with_p(0.021).word == FORGOTTEN  # 0.04 / 2
    with pytest.raises(UserError, match="p_value: .*got 1.5"):
        Evidence("U", 0.8, 0.7, (0.5,), p_value=1.5)


def test_fewer_than_three_models_give_no_verdict():
    for retrained in ((0.5,), (0.5, 0.51)):
        found = one(0.9, 0.9, retrained)
        assert found.word == "no verdict" and "no usable noise" in found.sentence
    assert "too few retrained models" in found.plain


@pytest.mark.parametrize(
    "values",
    [
        (math.nan, 0.5, (0.5,)),
        (0.9, math.inf, (0.5,)),
        (0.9, 0.5, (0.5, math.nan)),
        (0.9, 0.5, ()),
        (None, 0.5, (0.5,)),
    ],
)
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(UserError, match="m: "):
        Evidence("m", *values)


def test_no_measure_is_refused():
    with pytest.raises(UserError, match="evidence: no measure"):
        judge([])


def test_a_class_that_is_gone_is_forgotten_although_losses_have_no_bound():
    """Accuracy and probability 0 after and retrained; as losses, 9.2 beside 19.8 ± 7.7."""
    gone = (0.0,) * 5
    found = judge(
        [
            Evidence("forgotten accuracy", 1.0, 0.0, gone, examples=144),
            Evidence(
                "forgotten confidence",
                0.99,
                math.exp(-9.2),
                tuple(np.exp([-12.0, -19.0, -25.0, -20.0, -23.0])),
            ),
            Evidence("test accuracy", 0.96, 0.965, (0.96, 0.97, 0.965, 0.96, 0.97), utility=True),
        ]
    )
    assert found.word == FORGOTTEN


def test_plain_sentences_have_one_figure_and_no_jargon():
    tight = (0.93, 0.935, 0.925, 0.93, 0.93)
    broken = judge(
        [
            Evidence("forgotten accuracy", 0.97, 0.10, (0.92, 0.93, 0.91, 0.92, 0.92)),
            Evidence("test accuracy", 0.95, 0.10, tight, utility=True),
        ]
    )
    assert (
        broken.plain == "The model no longer works: 10 % of the test images classified correctly, "
        "93 % for retrained models."
    )
    lower = judge([Evidence("test accuracy", 0.95, 0.80, tight, utility=True)])
    assert lower.plain.startswith(
        "The model has lost accuracy on the data that it was to retain: 80 % of the test"
    )
    knows = one(1.0, 0.96, (0.89, 0.88, 0.90, 0.88, 0.88))
    assert knows.plain == (
        "The model still remembers the forget set: 96 % of the forget set classified "
        "correctly, 89 % for retrained models."
    )
    assert knows.sentence.startswith("Still remembers: forgotten accuracy 0.96, retrained 0.886 ± ")
    assert "before 1 (35 % of the gap closed)" in knows.sentence
    avoids = one(1.0, 0.02, (0.89, 0.88, 0.90, 0.88, 0.88))
    assert "avoids" in avoids.plain and avoids.sentence.endswith("reveals what was forgotten.")
    fine = one(1.0, 0.5, (0.50, 0.51, 0.49, 0.50, 0.505))
    assert fine.plain.startswith("The model behaves as if it had never been trained on")
    assert fine.sentence.startswith(
        "Forgotten: forgotten accuracy closed more than half of the gap"
    )
    unknown = one(0.93, 0.93, (0.92, 0.90, 0.94, 0.91, 0.93))
    assert "does not show whether" in unknown.plain and "would suffice" in unknown.sentence


def test_the_number_of_models_that_would_do():
    """Before lies 5 s off; twice the noise of one measure falls below that at 10 models."""
    values = tuple(np.array([-1, 0, 0, 0, 1]) / math.sqrt(0.5))
    found = judge([Evidence("m", 5.0, 0.0, values, 0.0)])
    needed = next(
        k for k in range(3, 99) if 2 * t.isf(LEVEL / 2, k - 1) * math.sqrt(1 + 1 / k) < 5.0
    )
    assert (
        found.word == NOT_SHOWN and f" {needed} retrained models would suffice." in found.sentence
    )
