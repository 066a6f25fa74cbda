"""Membership attacks on synthetic scores whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from tfunlearn.core.errors import UserError
from tfunlearn.verification import (
    Gaussians,
    ShadowAttack,
    anamnesis_index,
    challenge_score,
    confidences,
    forgetting_epsilons,
    forgetting_quality,
    lira_scores,
    membership_roc,
    permutation_p_value,
    relearn_time,
    threshold_attack,
    u_lira_scores,
)


def test_a_roc_by_hand():
    roc = membership_roc([3, 2, 1], [2, 0])
    # pairs: 3 beats both, 2 ties once and beats once, 1 loses to 2 and beats 0
    assert roc.auc == pytest.approx((2 + 1.5 + 1) / 6)
    assert list(zip(roc.fpr, roc.tpr)) == [(0, 0), (0, 1 / 3), (0.5, 2 / 3), (0.5, 1), (1, 1)]
    assert roc.balanced_accuracy == pytest.approx((1 + 0.5) / 2)
    assert roc.tpr_at == {0.01: 1 / 3, 0.001: 1 / 3}
    assert roc.resolution == 0.5 and not roc.resolves(0.01)
    assert (roc.members, roc.others) == (3, 2)


def test_infinite_scores_are_ranks_and_nan_is_refused():
    assert membership_roc([math.inf, 1], [0, -math.inf]).auc == 1
    assert membership_roc([math.inf], [math.inf]).auc == 0.5
    with pytest.raises(UserError, match="members: .*got 'NaN'"):
        membership_roc([math.nan], [0])
    with pytest.raises(UserError, match="others: .*got '0 scores'"):
        membership_roc([1.0], [])


def test_two_normal_distributions_have_the_textbooks_curve(rng):
    shift = 1.5
    roc = membership_roc(rng.normal(shift, 1, 40_000), rng.normal(0, 1, 40_000))
    assert roc.auc == pytest.approx(norm.cdf(shift / math.sqrt(2)), abs=0.005)
    assert roc.balanced_accuracy == pytest.approx(norm.cdf(shift / 2), abs=0.005)
    for level in (0.01, 0.001):
        assert roc.resolves(level)
        assert roc.tpr_at[level] == pytest.approx(norm.sf(norm.isf(level) - shift), abs=0.02)


def test_a_rate_is_resolved_by_its_inverse_of_non_members():
    assert membership_roc([1], np.arange(1000)).resolves(0.001)
    assert not membership_roc([1], np.arange(999)).resolves(0.001)


def test_the_threshold_attack_by_hand():
    attack = threshold_attack([0.1, 0.2, 0.9], [0.15, 1.0, 2.0, 3.0], threshold=0.2)
    assert (attack.tpr, attack.fpr) == (2 / 3, 1 / 4)
    assert attack.advantage == pytest.approx(2 / 3 - 1 / 4)
    assert attack.roc.auc == pytest.approx((4 + 3 + 3) / 12)
    assert threshold_attack([1.0], [1.0], threshold=0.5).advantage == 0


@pytest.mark.parametrize("from_logits", [True, False])
def test_confidences_are_log_odds(rng, from_logits):
    logits = rng.normal(0, 2, (50, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = rng.integers(0, 4, 50)
    chosen = p[np.arange(50), labels]
    found = confidences(logits if from_logits else p, labels, from_logits=from_logits)
    np.testing.assert_allclose(found, np.log(chosen / (1 - chosen)), rtol=1e-9)


def test_confidences_of_a_certain_model_are_finite():
    found = confidences(
        np.array([[800.0, 0.0, 0.0], [0.0, 800.0, 1.0]]), np.array([0, 0]), from_logits=True
    )
    np.testing.assert_allclose(found, [800 - math.log(2), -800])
    assert np.isfinite(confidences(np.array([[1.0, 0.0]]), np.array([1]), from_logits=False)).all()


def test_gaussians_by_hand():
    values = np.array([[0.0, 1.0], [2.0, 1.0], [10.0, 4.0]])
    own = Gaussians.of(values, "example")
    np.testing.assert_allclose(own.centers, [2, 1])
    np.testing.assert_allclose(own.deviations, [math.sqrt((4 + 0 + 64) / 3), math.sqrt(9 / 3)])
    pooled = Gaussians.of(values)  # three models are few
    np.testing.assert_allclose(pooled.deviations, math.sqrt((4 + 64 + 9) / 6))
    many = np.repeat(values, 6, axis=0)
    np.testing.assert_allclose(Gaussians.of(many).deviations, own.deviations)
    density = own.log_density(np.array([2.0, 2.0]))
    expected = [norm.logpdf(2, 2, own.deviations[0]), norm.logpdf(2, 1, own.deviations[1])]
    np.testing.assert_allclose(density - density[0], np.array(expected) - expected[0])


def shadow_confidences(rng, models, examples, shift):
    """Returns phi under models that saw each example and under models that did not."""
    hardness = rng.normal(0, 3, examples)
    return (
        hardness + shift + rng.normal(0, 1, (models, examples)),
        hardness + rng.normal(0, 1, (models, examples)),
    )


def test_lira_finds_what_a_global_threshold_cannot(rng):
    """Examples differ by 3, membership by 2: only who knows each example's own scale sees it."""
    trained, never = shadow_confidences(rng, 65, 4000, 2.0)
    members, others = np.arange(2000), np.arange(2000, 4000)
    target = np.where(np.arange(4000) < 2000, trained[0], never[0])
    ideal = norm.cdf(2 / math.sqrt(2))
    for scores in (lira_scores(target, never[1:], trained[1:]), lira_scores(target, never[1:])):
        assert membership_roc(scores[members], scores[others]).auc == pytest.approx(ideal, abs=0.02)
    assert membership_roc(target[members], target[others]).auc < 0.75


def test_u_lira_is_a_coin_where_nothing_is_left_and_sure_where_all_is(rng):
    for shift, low, high in ((0.0, 0.46, 0.54), (4.0, 0.98, 1.0)):
        unlearned, retrained = shadow_confidences(rng, 16, 400, shift)
        scores = u_lira_scores(unlearned, retrained)
        roc = membership_roc(*scores)
        assert low <= roc.auc <= high and roc.members == 16 * 400
    below, retrained = shadow_confidences(rng, 16, 400, -4.0)  # forgotten too well shows as well
    assert membership_roc(*u_lira_scores(below, retrained)).auc > 0.98
    with pytest.raises(UserError, match="at least 3, as many unlearned as retrained"):
        u_lira_scores(below[:3], retrained[:2])


def test_the_band_of_chance_holds_where_a_models_examples_move_together(rng):
    """Three of four trials at least stay below it, in which examples have nothing of their own."""
    found = []
    for _ in range(30):
        both = rng.normal(0, 1, (16, 1)) + rng.normal(0, 0.05, (16, 40))
        found.append(permutation_p_value(both[:8], both[8:], rng, draws=39))
    # uniform over 1/40 ... 40/40 where nothing tells the two kinds apart
    assert 0.3 < np.mean(found) < 0.7 and np.mean(np.array(found) <= 0.1) < 0.35
    apart = rng.normal(3, 1, (8, 40))
    assert permutation_p_value(apart, both[8:], rng, draws=199) == 1 / 200


def test_values_without_a_meaning_are_refused():
    with pytest.raises(UserError, match="remaining: .*got 0.0"):
        challenge_score(0.5, remaining=(0.5, 0.0), test=(0.5, 0.5))
    with pytest.raises(UserError, match="test: .*nan"):
        challenge_score(0.5, remaining=(0.5, 0.5), test=(math.nan, 0.5))
    assert challenge_score(0.5, remaining=(0.0, 0.5), test=(0.5, 0.5)) == 0
    for bad in (math.nan, math.inf):
        values = np.array([[0.1, bad], [0.2, 0.3], [0.3, 0.4]])
        with pytest.raises(UserError, match="NaN or infinity"):
            forgetting_epsilons(values, np.zeros((3, 2)))
        with pytest.raises(UserError, match="NaN or infinity"):
            Gaussians.of(values)


def test_shadow_models_learn_what_members_look_like(rng):
    def model(members):
        labels = rng.integers(0, 4, 400)
        logits = rng.normal(0, 1, (400, 4))
        logits[np.arange(400), labels] += np.where(members, 4.0, 1.0)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels

    known = [rng.random(400) < 0.5 for _ in range(4)]
    made = [model(members) for members in known]
    attack = ShadowAttack(epochs=20).fit([o for o, _ in made], [y for _, y in made], known)
    truth = rng.random(400) < 0.5
    scores = attack.scores(*model(truth))
    assert membership_roc(scores[truth], scores[~truth]).auc > 0.9
    blank = attack.scores(*model(np.zeros(400, bool)))
    assert 0.35 < membership_roc(blank[truth], blank[~truth]).auc < 0.65
    with pytest.raises(UserError, match="members and non-members"):
        ShadowAttack().fit([made[0][0]], [made[0][1]], [np.ones(400, bool)])


def epsilon_by_brute_force(a, b, delta=1e-5):
    """Every interval of values is tried, one rate after the other."""
    positive, negative = (a, b) if np.median(a) >= np.median(b) else (b, a)
    points = sorted({*a, *b})
    cuts = [points[0] - 1, *[(x + y) / 2 for x, y in zip(points, points[1:])], points[-1] + 1]
    best = 0.0
    for low, high in itertools.combinations(cuts, 2):
        fnr = np.mean([not low < v < high for v in positive])
        fpr = np.mean([low < v < high for v in negative])
        if fnr == fpr == 0:
            return 50.0
        if fnr == 0 or fpr == 0:
            continue
        for x, y in ((fpr, fnr), (fnr, fpr)):
            if 1 - delta - x > 0:
                best = max(best, math.log(1 - delta - x) - math.log(y))
    return min(best, 50.0)


def test_epsilons_against_brute_force(rng):
    for shift in (0.0, 0.5, 2.0):
        a, b = rng.normal(shift, 1, (9, 6)), rng.normal(0, 1, (8, 6))
        np.testing.assert_allclose(
            forgetting_epsilons(a, b),
            [epsilon_by_brute_force(a[:, s], b[:, s]) for s in range(6)],
            rtol=1e-12,
        )
    apart = forgetting_epsilons(np.arange(4.0)[:, None] + 9, np.arange(4.0)[:, None])
    narrow = forgetting_epsilons(np.array([[0.0], [0.001]]), np.array([[0.0], [1.0]]))
    same = forgetting_epsilons(np.zeros((4, 1)), np.zeros((4, 1)))
    assert apart.tolist() == narrow.tolist() == [50.0] and same.tolist() == [0.0]


def test_points_by_hand():
    # N = 9: ceil(ln 8) = 3, so 6 bins; 0.4 has 1 point, 0.5 a half, 2.9 one of 32, 3.0 none
    assert forgetting_quality(np.array([0.4, 0.5, 2.9, 3.0, 50.0]), 9) == pytest.approx(
        (1 + 0.5 + 1 / 32) / 5
    )
    assert challenge_score(0.5, remaining=(0.9, 0.6), test=(0.8, 1.0)) == pytest.approx(0.6)


def test_relearning_by_hand():
    assert relearn_time([0.1, 0.5, 0.94, 0.96, 1.0], 1.0) == 3
    assert relearn_time([0.95], 1.0) == 0 and relearn_time([0.1, 0.2], 1.0) is None
    assert relearn_time([0.1, 0.5], 1.0, alpha=0.5) == 1
    assert anamnesis_index(2, 8) == 0.25 and anamnesis_index(None, 8) == math.inf
    assert anamnesis_index(2, 0) is None and anamnesis_index(2, None) is None
