"""Grouped Memorization Evaluation on numbers with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.evaluation import (
    assign_groups,
    checkpoint_scores,
    gme_report,
    grouped_metric,
    label_probabilities,
    local_fairness,
    memorization_scores,
    rank_correlation,
    subset_error,
    subset_scores,
    time_to_peak,
)


def test_scores_take_all_retrained_models_and_are_not_clipped():
    original = np.array([0.9, 0.5, 0.1])
    retrained = np.array([[0.0, 0.5, 0.4], [0.3, 0.5, 0.7], [0.6, 0.2, 0.7]])
    got = memorization_scores(original, retrained)
    np.testing.assert_allclose(got, [0.6, 0.1, -0.5])  # the last model alone gives 0.3, 0.3, -0.6
    for bad in (retrained[:, :2], retrained[0], retrained[:0], retrained + 1):
        with pytest.raises(UserError, match="retrained"):
            memorization_scores(original, bad)


@pytest.mark.parametrize("n", [1, 2, 7, 19, 20, 21, 144, 400])
def test_groups_partition_whatever_is_tied(n, rng):
    bounds = [round(n * edge) for edge in (0.05, 0.1, 0.15, 0.2)]
    sizes = np.diff([0, *bounds, n])
    for scores in (np.zeros(n), np.full(n, -0.3), rng.random(n), np.round(rng.random(n), 1) - 0.5):
        groups = assign_groups(scores)
        assert np.bincount(groups, minlength=5).tolist() == sizes.tolist()
        for number in range(4):  # nobody in a later group has a higher score
            upper, lower = scores[groups == number], scores[groups > number]
            assert not len(upper) or not len(lower) or upper.min() >= lower.max()
    assert assign_groups(np.zeros(20)).tolist() == [0, 1, 2, 3, *[4] * 16]  # first come, first


def test_the_published_groups_drop_what_is_tied_at_the_bottom():
    scores = np.concatenate([np.arange(1, 11) / 10, np.full(10, -1.0)])
    groups = assign_groups(scores, ties="reference")
    assert (groups[10:] == -1).all() and groups[9] == 0 and groups[8] == 1
    levels = np.percentile(np.clip(scores, 0, None), [0, 80, 85, 90, 95, 100])
    for low, high, number in zip(levels[:-1], levels[1:], (4, 3, 2, 1, 0)):
        inside = (np.clip(scores, 0, None) > low) & (np.clip(scores, 0, None) <= high)
        assert (groups[inside] == number).all()
    assert (assign_groups(np.zeros(30), ties="reference") == -1).all()


def test_a_metric_by_groups():
    groups = np.array([0, 0, 1, 4, 4, 4])
    got = grouped_metric(np.array([[1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]]), groups)
    empty = [np.nan, np.nan]
    np.testing.assert_allclose(got, [[0.5, 1, *empty, 2 / 3], [0, 0, *empty, 1 / 3]])


def report_of(rng, n=100, models=4, **options):
    truth = rng.random(n)
    original = np.clip(truth + 0.3, 0, 1)
    retrained = np.clip(truth + rng.normal(0, 0.2, (models, n)), 0, 1)
    hits = {"a": rng.random((2, n)) < 0.7, "b": rng.random((1, n)) < 0.2}
    return (
        original,
        retrained,
        hits,
        gme_report(original, retrained, hits, original > 0.5, retrained > 0.5, **options),
    )


def test_leave_one_out_is_what_a_loop_over_the_models_gives(rng):
    original, retrained, hits, report = report_of(rng)
    graded, method = [], []
    for k in range(4):
        others = [retrained[j] for j in range(4) if j != k]
        score = original - np.mean(others, axis=0)
        order = sorted(range(100), key=lambda i: (-score[i], i))
        groups = [order[:5], order[5:10], order[10:15], order[15:20], order[20:], order]
        graded.append([np.mean([retrained[k][i] > 0.5 for i in g]) for g in groups])
        method.append([[np.mean([hits["a"][m][i] for i in g]) for g in groups] for m in range(2)])
    graded, method = np.array(graded), np.mean(method, axis=0)
    np.testing.assert_allclose(report.rows["retrained"].mean, graded.mean(axis=0))
    np.testing.assert_allclose(report.rows["retrained"].spread, graded.std(axis=0))
    np.testing.assert_allclose(report.rows["a"].mean, method.mean(axis=0))
    np.testing.assert_allclose(report.rows["a"].spread, method.std(axis=0))
    np.testing.assert_allclose(
        report.rows["a"].gap, np.abs(method.mean(axis=0) - graded.mean(axis=0))
    )
    assert (report.graders, report.scorers, report.grading) == (4, 3, "leave-one-out")
    assert report.sizes == [5, 5, 5, 5, 80] and report.rows["b"].models == 1
    assert (report.rows["retrained"].gap == 0).all() and report.rows["a"].models == 2
    np.testing.assert_allclose(report.scores, original - retrained.mean(axis=0))


def test_disjoint_models_score_and_grade(rng):
    original, retrained, hits, report = report_of(rng, models=5, grading="disjoint")
    groups = assign_groups(original - retrained[:3].mean(axis=0))
    np.testing.assert_array_equal(groups, report.groups)
    expected = grouped_metric(retrained[3:] > 0.5, groups)
    np.testing.assert_allclose(report.rows["retrained"].mean[:5], expected.mean(axis=0))
    assert (report.graders, report.scorers) == (2, 3)


def test_models_that_score_and_grade_look_worse_than_they_are(rng):
    """The published evaluation's bias: retraining graded by its own groups, here without memory."""
    n, models = 4000, 3
    chance = rng.random(n)
    probabilities = (rng.random((models + 1, n)) < chance).astype(float)  # all alike: none has seen
    original, retrained = probabilities[0], probabilities[1:]
    own = assign_groups(memorization_scores(original, retrained))
    biased = grouped_metric(retrained, own).mean(axis=0)[0]
    fair = gme_report(original, retrained, {}, original > 0.5, retrained > 0.5)
    assert biased == 0 and fair.rows["retrained"].mean[0] > 0.15  # nothing but selection


def test_scores_from_elsewhere_leave_all_models_to_grade(rng):
    scores = rng.random(100)
    original, retrained, hits, report = report_of(rng, scores=scores)
    np.testing.assert_array_equal(report.scores, scores)
    assert (report.graders, report.scorers, report.grading) == (4, 0, "scores given")
    np.testing.assert_allclose(
        report.rows["retrained"].mean[:5],
        grouped_metric(retrained > 0.5, assign_groups(scores)).mean(axis=0),
    )


def test_too_little_is_refused(rng):
    with pytest.raises(UserError, match="retrained: .*at least 2.*got '1 models'"):
        report_of(rng, models=1)
    with pytest.raises(
        UserError,
        match=r"at least 20.*a request of 12 examples, whose groups are too small: "
        r"90-95 \(0\), 80-85 \(0\)",
    ):
        report_of(rng, n=12)
    with pytest.raises(UserError, match="at least 20"):
        report_of(rng, n=19)
    with pytest.raises(UserError, match="grading: .*got 'in-sample'"):
        report_of(rng, grading="in-sample")
    for edges in ((), (0.2, 0.1), (0, 0.5), (0.5, 1.0)):
        with pytest.raises(UserError, match="edges"):
            assign_groups(np.zeros(30), edges)
    with pytest.raises(UserError, match="scores"):
        assign_groups(np.array([0.1, np.nan]))


def test_probabilities_of_the_label():
    logits = np.array([[0.0, math.log(3)], [5.0, 5.0]])
    np.testing.assert_allclose(label_probabilities(logits, [1, 0], from_logits=True), [0.75, 0.5])
    shares = np.array([[0.25, 0.75], [0.0, 1.0]])
    np.testing.assert_allclose(label_probabilities(shares, [0, 0], from_logits=False), [0.25, 0])


def test_subset_scores_by_hand():
    values = np.array([[1, 1.0], [0, 1], [1, 0], [1, 0]])
    held = np.array([[True, True], [False, True], [True, False], [False, False]])
    np.testing.assert_allclose(subset_scores(values, held), [1 - 0.5, 1 - 0])
    with pytest.raises(UserError, match="2 examples that all or none"):
        subset_scores(values[:1], held[:1])
    assert subset_error(20, 0.2) == pytest.approx(0.5 * math.sqrt(1 / 16 + 1 / 4))


def test_a_pool_ranks_like_the_truth(rng):
    truth = rng.random(300)
    held = np.stack([np.repeat(rng.random(3) < 0.7, 100) for _ in range(400)])
    values = (rng.random((400, 300)) < np.where(held, 0.95, 0.95 - 0.9 * truth)).astype(float)
    assert rank_correlation(subset_scores(values, held), truth) > 0.95


def test_checkpoints_and_ranks():
    np.testing.assert_allclose(checkpoint_scores([[0.2, 0.9], [0.6, 1.0]]), [0.6, 0.05])
    with pytest.raises(UserError, match="R >= 2"):
        checkpoint_scores([[0.2, 0.9]])
    assert rank_correlation(np.array([1, 2, 3, 4.0]), np.array([10, 20, 30, 400.0])) == 1
    assert rank_correlation(np.array([1, 2, 3.0]), np.array([3, 2, 1.0])) == -1
    swapped = rank_correlation(np.array([1, 2, 3, 4.0]), np.array([1, 3, 2, 4.0]))
    assert swapped == pytest.approx(0.8)
    assert math.isnan(rank_correlation(np.ones(3), np.arange(3)))


def test_fairness_by_hand():
    before, after = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 8])
    got = local_fairness(before, after)
    assert got.value == 1.5 and got.changes.tolist() == [0, 0, 0, 4]
    assert local_fairness(before, after, kind="variance").value == 3
    assert local_fairness(before, after, kind="std").value == pytest.approx(math.sqrt(3))
    assert local_fairness(before, after, weights=[1, 1, 1, 3]).value == 2  # mean 2, |2| everywhere
    for bad, options in (
        ((before, after[:3]), {}),
        (([], []), {}),
        ((before, after * np.nan), {}),
        ((before, after), dict(kind="range")),
        ((before, after), dict(weights=[0, 0, 0, 0])),
        ((before, after), dict(weights=[1, 1, 1])),
        ((before, after), dict(weights=[1, 1, 1, math.nan])),
    ):
        with pytest.raises(UserError):
            local_fairness(*bad, **options)


def test_the_peak_of_a_flat_curve():
    got = time_to_peak([0.5, 0.8, 0.896, 0.9, 0.89], {"seconds": [2, 2, 3, 3, 3]})
    assert (got.peak, got.rounds, got.costs) == (0.9, 3, {"seconds": 7})
    exact = time_to_peak(
        [0.5, 0.8, 0.896, 0.9, 0.89], {"steps": [1] * 5}, tolerance=0, before={"steps": 10}
    )
    assert (exact.rounds, exact.costs) == (4, {"steps": 14})
    nothing = time_to_peak([], {"seconds": []}, start=0.7, before={"seconds": 5})
    assert (nothing.peak, nothing.rounds, nothing.costs) == (0.7, 0, {"seconds": 5})
    for arguments in (([],), ([0.5], {"s": [1, 2]})):
        with pytest.raises(UserError):
            time_to_peak(*arguments)
