"""Rules that filter updates, against their definitions written out and worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfunlearn.aggregation import RULES, Aggregator, Round
from tfunlearn.aggregation.arc import arc
from tfunlearn.aggregation.caf import caf
from tfunlearn.aggregation.clipping import clipped_mean
from tfunlearn.aggregation.dnc import dnc, dnc_choice, outlier_scores
from tfunlearn.aggregation.flame import cosine_distances, flame, flame_choice
from tfunlearn.aggregation.mda import kept_by_mda, mda
from tfunlearn.aggregation.monna import monna
from tfunlearn.aggregation.rlr import rlr
from tfunlearn.aggregation.signguard import same_signs, signguard, signguard_choice
from tfunlearn.aggregation.smea import kept_by_smea, smea
from tfunlearn.core.errors import UserError


def updates(seed: int = 0, rows: int = 11, size: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32)


def test_the_clipped_mean_by_hand():
    rows = np.array([[3, 4], [0, 1], [0, 10], [6, 8]], np.float32)  # norms 5, 1, 10, 10: median 7.5
    kept = np.array([True, True, False, True])
    mean, bound = clipped_mean(rows, kept)
    assert bound == 7.5
    np.testing.assert_allclose(mean, [(3 + 4.5) / 3, (4 + 1 + 6) / 3], rtol=1e-6)


def test_cosine_distances_are_those_of_local_models():
    rows, model = updates(size=40), 50 * np.random.default_rng(1).standard_normal(40)
    local = rows.astype(float) + model.astype(np.float32)
    unit = local / np.linalg.norm(local, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine_distances(rows, model), 1 - unit @ unit.T, atol=1e-12)
    unit = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    np.testing.assert_allclose(cosine_distances(rows), 1 - unit @ unit.T, atol=1e-12)
    assert cosine_distances(np.zeros((2, 3), np.float32)).tolist() == [[0, 1], [1, 0]]


def test_flame_keeps_the_cluster_of_more_than_half():
    rows = 1 + 0.1 * updates()
    rows[[2, 5, 8]] *= -1
    kept = flame_choice(rows)
    assert kept.sum() >= 6 and not kept[[2, 5, 8]].any()
    quiet = flame(rows, noise_factor=0.0)
    np.testing.assert_allclose(quiet, clipped_mean(rows, kept)[0], rtol=1e-6)
    noisy = flame(rows, noise_factor=0.01, rng=np.random.default_rng(3)) - quiet
    bound = np.median(np.linalg.norm(rows, axis=1))
    assert noisy.std() == pytest.approx(0.01 * bound, rel=0.15)
    with pytest.raises(UserError, match="rng: .*since there is noise"):
        flame(rows)


def test_a_run_hands_the_global_model_to_flame():
    """Local models far from zero are told apart by length, which cosines of updates do not see."""
    rows = np.ones((9, 4), np.float32) + 0.01 * updates(rows=9, size=4)
    rows[[0, 1]] *= 30
    model = np.array([9, -9, 9, -9], np.float32)
    assert flame_choice(rows, model)[:2].tolist() == [False, False]
    rule = Aggregator("flame", noise_factor=0.0)
    alone, handed = rule(rows), rule(rows, model=model)
    assert np.abs(handed).max() < 1.1 and np.abs(alone - handed).max() > 1e-4


def test_outlier_scores_are_projections_on_the_top_singular_vector():
    rows = updates(2)
    centered = rows.astype(float) - rows.mean(axis=0, dtype=float)
    top = np.linalg.svd(centered, full_matrices=False)[2][0]
    np.testing.assert_allclose(outlier_scores(rows), (centered @ top) ** 2, rtol=1e-6)


def test_dnc_leaves_out_the_highest_scores_of_every_draw():
    rows = updates(3)
    rows[[1, 4]] += 5
    kept = dnc_choice(rows, f=2)
    assert np.flatnonzero(~kept).tolist() == [1, 4]
    np.testing.assert_allclose(dnc(rows, f=2), rows[kept].mean(axis=0), atol=1e-6)
    assert dnc_choice(rows, f=2, left_out_factor=1.5).sum() == 8  # ceil(3)
    assert dnc_choice(rows, f=0).all()
    some = dnc_choice(rows, f=2, draws=4, coordinates=20, rng=np.random.default_rng(0))
    assert not some[[1, 4]].any() and some.sum() <= 9
    with pytest.raises(UserError, match="must keep an update in all draws; got none with draws=60"):
        dnc(updates(4), f=5, draws=60, coordinates=2, rng=np.random.default_rng(0))
    with pytest.raises(UserError, match="f: .*fewer than all 11 updates"):
        dnc(rows, f=11)


def test_signguard_filters_by_norm_and_by_signs():
    rows = np.abs(updates(5)) * np.where(np.arange(200) % 3, 1, -1)  # a third negative
    rows = rows.astype(np.float32)
    rows[0] *= 4  # beyond 3 times the median norm
    rows[1] *= 0.05
    rows[2] *= -1  # two thirds negative
    kept = signguard_choice(rows, window=1.0)
    assert np.flatnonzero(~kept).tolist() == [0, 1, 2]
    np.testing.assert_allclose(
        signguard(rows, window=1.0), clipped_mean(rows, kept)[0], rtol=1e-5, atol=1e-7
    )
    assert same_signs(np.ones((5, 3))).all()  # no bandwidth
    with pytest.raises(UserError, match="low: .*below high"):
        signguard(rows, low=4.0)


@pytest.mark.parametrize("name", ["krum", "multi-krum", "bulyan", "flame", "dnc", "signguard"])
def test_what_a_rule_keeps_is_what_it_uses(name):
    rule = RULES[name]
    rows = updates(6, rows=15)
    rows[[3, 9]] += 4
    given = Round(f=2, rng=np.random.default_rng(0))
    own = rule.settings(**(rule.tried_with or {}))
    kept = rule.keeps(rows, given, own)
    assert kept.dtype == bool and kept.shape == (15,) and kept.any()
    if name in ("krum", "multi-krum"):
        expected = rows[kept].mean(axis=0, dtype=float)
        np.testing.assert_allclose(rule.apply(rows, given, own), expected, atol=1e-6)
        assert kept.sum() == (1 if name == "krum" else 11) and not kept[[3, 9]].any()
    if name == "bulyan":
        assert kept.sum() == 11


def test_arc_by_hand():
    """n = 6, f = 2: k = 2 * 2 * 4 // 6 = 2; the two longest become as long as the third, 4."""
    rows = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]).astype(np.float32)
    clipped = arc(rows, f=2)
    np.testing.assert_allclose(clipped.diagonal(), [1, 2, 3, 4, 4, 4], rtol=1e-6)
    np.testing.assert_array_equal(arc(rows, f=0), rows)
    # in floating point 2 * (33 / 242) * (242 - 33) is just below 57
    many = np.diag(np.arange(1.0, 243.0)).astype(np.float32)
    assert (arc(many, f=33).diagonal()[-57:] == 185).all()


def test_rlr_by_hand():
    rows = np.array([[1, 1], [1, -1], [1, -1], [-1, 4]], np.float32)  # signs add to 2 and 0
    assert rlr(rows, f=1).tolist() == [0.5, -0.75]
    assert rlr(rows, f=1, sign_threshold=3).tolist() == [-0.5, -0.75]
    assert rlr(rows, f=0, sign_threshold=0).tolist() == [0.5, 0.75]


def test_monna_by_hand():
    rows = np.array([[0.0], [1], [2], [9]], np.float32)
    assert monna(rows, np.array([1.6]), f=2).tolist() == [1.5]  # 2 and 1
    with pytest.raises(UserError, match="trusted: .*the server's own update"):
        monna(rows, None, f=1)


def test_caf_by_hand():
    """f = 1 of 0, 0, 0, 6: the far row has the largest tau in the first round, and goes at once.

    Then the others are equal: lambda is 0, and mu 0 is the best. f = 0 is the mean.
    """
    rows = np.array([[0.0], [0], [0], [6]], np.float32)
    assert caf(rows, f=1).tolist() == [0]
    assert caf(rows, f=0).tolist() == [1.5]


def test_caf_is_its_definition_with_the_covariance_written_out():
    rows = updates(7, rows=9, size=5).astype(float)
    rows[0] += 6
    c, best, least = np.ones(9), None, np.inf
    while c.sum() > 9 - 2 * 2:
        mu = (c[:, None] * rows).sum(axis=0) / c.sum()
        covariance = (c[:, None] * (rows - mu)).T @ (rows - mu) / c.sum()
        values, vectors = np.linalg.eigh(covariance)
        if values[-1] < least:
            best, least = mu, values[-1]
        tau = ((rows - mu) @ vectors[:, -1]) ** 2
        c = c * np.maximum(1 - tau / tau[c > 0].max(), 0)
    np.testing.assert_allclose(caf(rows.astype(np.float32), f=2), best, atol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_best_subsets_are_those_of_enumeration(seed):
    rng = np.random.default_rng(seed)
    n, f = (9, 3) if seed % 2 else (8, 2)
    rows = rng.standard_normal((n, 4)).astype(np.float32)
    if seed % 3 == 0:
        rows[0] += 5
    subsets = list(itertools.combinations(range(n), n - f))

    def diameter(chosen):
        part = rows[list(chosen)].astype(float)
        return np.linalg.norm(part[:, None] - part[None], axis=2).max()

    def top(chosen):
        part = rows[list(chosen)].astype(float)
        return np.linalg.eigvalsh(np.cov(part.T, bias=True))[-1]

    kept = np.flatnonzero(kept_by_mda(rows, f))
    assert len(kept) == n - f
    assert diameter(kept) == pytest.approx(min(map(diameter, subsets)))
    kept = np.flatnonzero(kept_by_smea(rows, f))
    assert len(kept) == n - f and top(kept) == pytest.approx(min(map(top, subsets)))


def test_subsets_too_many_are_refused(monkeypatch):
    from tfunlearn.aggregation import subsets

    with pytest.raises(UserError, match=r"mda: f must be at most 20 .*; got f=21, n=50"):
        mda(updates(8, rows=50), f=21)
    monkeypatch.setattr(subsets, "MOST_NODES", 3)
    with pytest.raises(UserError, match="smea: more than 3 steps for n=11, f=3; use another rule"):
        smea(updates(8), f=3)
