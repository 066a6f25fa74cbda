"""Every rule on numbers worked out by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import (
    bucketing,
    bulyan,
    centered_clipping,
    fltrust,
    geometric_median,
    krum,
    mean,
    median,
    multi_krum,
    nearest_neighbor_mixing,
    norm_bound,
    rfa,
    trimmed_mean,
)
from tfunlearn.aggregation.krum_flap import krum_flap
from tfunlearn.core.errors import UserError


def column(*values):
    return np.array(values, np.float32)[:, None]


def test_trimmed_mean_by_hand():
    updates = column(9, 1, 2, 4, -50)
    assert trimmed_mean(updates, trim=1).tolist() == pytest.approx([7 / 3])  # 1, 2, 4
    assert trimmed_mean(updates, trim=2).tolist() == [2]
    assert trimmed_mean(updates, trim=0).tolist() == mean(updates).tolist()
    # a fraction is of n, rounded down: 0.39 * 5 = 1.95
    assert trimmed_mean(updates, trim=0.39).tolist() == pytest.approx([7 / 3])
    # 0.1 of 9 is no row, which is the mean and not zero
    assert trimmed_mean(column(*range(9)), trim=0.1).tolist() == [4]


def test_median_by_hand():
    assert median(column(5, 1, 3)).tolist() == [3]
    assert median(column(5, 1, 3, 4)).tolist() == [3.5]
    assert median(column(5, 1, 3, 4), compat="flap").tolist() == [3]
    assert median(column(-0.0, 0.0)).tobytes() == np.zeros(1, np.float32).tobytes()


def test_krum_by_hand():
    # n = 7, f = 2: the 3 nearest others, squared. 0: 1+4+9 = 14; 1: 1+1+4 = 6; 2: 1+1+4 = 6;
    # 3: 1+4+9 = 14; 10: 1+49+64 = 114; 11: 1+64+81 = 146; 100: large
    updates = column(0, 1, 2, 3, 10, 11, 100)
    assert krum(updates, f=2).tolist() == [1]  # the first of the tie
    assert krum(updates[::-1], f=2).tolist() == [2]
    # best three (m = n - f - 2): 1, 2 and of 0 and 3 the first
    assert multi_krum(updates, f=2).tolist() == [1]
    assert multi_krum(updates, f=2, m=1).tolist() == [1]
    with pytest.warns(UserWarning, match="m=4 is more than n - f - 2 = 3"):
        assert multi_krum(updates, f=2, m=4).tolist() == [1.5]
    with pytest.warns(UserWarning):
        assert multi_krum(updates, f=2, m=7).tolist() == mean(updates).tolist()


def test_flaps_multi_krum_by_hand():
    # n = 5, f = 1, m = 2. Tensors of one entry each: distances are sums of absolute differences.
    updates = np.array([[0, 0], [1, 1], [2, 0], [0, 3], [50, 50]], np.float32)
    # 0: 2 + 2, 1: 2 + 2, 2: 2 + 2, 3: 3 + 3; the first two of the tie, divided by 5
    np.testing.assert_allclose(krum_flap(updates, f=1, sizes=[1, 1]), [0.2, 0.2], rtol=1e-6)
    # one tensor: 0: 1.41 + 2, 1: 1.41 + 1.41, 2: 1.41 + 2, 3: 2.24 + 3; so 1, then 0
    np.testing.assert_allclose(krum_flap(updates, f=1), [0.2, 0.2], rtol=1e-6)
    line = column(0, 1, 4, 5, 6.5)
    # m = 2: 0: 1 + 4, 1: 1 + 3, 4: 1 + 2.5, 5: 1 + 1.5, 6.5: 1.5 + 2.5 -> 5 and 4; (5 + 4) / 5
    assert krum_flap(line, f=1).tolist() == pytest.approx([1.8])
    with pytest.raises(UserError, match="sizes: .*got 3"):
        krum_flap(updates, f=1, sizes=[1, 2])
    with pytest.raises(UserError, match="krum_flap: .*got n=5, f=2"):
        krum_flap(updates, f=2)


def test_krum_with_n_f_2_neighbors_not_n_f_1():
    # n = 5, f = 1: two neighbours. 0: 1 + 6.76, 1: 1 + 2.56, 4: 1 + 1.96, 5: 1 + 5.76,
    # 2.6: 2.56 + 1.96. With three, 2.6 would win: 10.28 against 11.96 of 4
    assert krum(column(0, 1, 4, 5, 2.6), f=1).tolist() == [4]
    # one row far off: with three neighbours its distance would count for everybody
    assert krum(column(0, 0.1, 0.3, 50, 60), f=1).tolist() == pytest.approx([0.1])


def test_bulyan_by_hand():
    # n = 7, f = 1: theta = 5 picks, neighbours 4, 3, 2, 1, 1 of those left.
    # Scores of 0, 1, 2, 3, 4, 5, 90 with 4 neighbours: 2 and 3 have 1+1+4+4 = 10 -> 2 goes first.
    # left 0 1 3 4 5 90, 3: 3 has 1+4+4 = 9, 4 has 1+1+9 = 11 -> 3.
    # left 0 1 4 5 90, 2: 1 has 1+9 = 10, 4 has 1+9 = 10, 5: 1+16, 0: 1+16 -> 1 (first).
    # left 0 4 5 90, 1: 4 and 5 have 1 -> 4. left 0 5 90, floor 1: 0 and 5 have 25 -> 0.
    # picked 2, 3, 1, 4, 0: median 2, the 3 nearest are 1, 2, 3
    assert bulyan(column(0, 1, 2, 3, 4, 5, 90), f=1).tolist() == [2]
    updates = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    np.testing.assert_allclose(bulyan(updates, f=0), updates.mean(axis=0), rtol=1e-6)


def test_bulyan_prefers_the_smaller_of_two_equally_near_values():
    from tfunlearn.aggregation import on_arrays
    from tfunlearn.aggregation.bulyan import window_mean

    values = np.array([[0, 1, 2, 3, 4], [0, 0, 0, 5, 6], [-9, 0, 5, 9, 9]], np.float32).T
    # medians 2, 0, 5; two nearest: {2, 1} not {2, 3}; {0, 0}; {5, 9}
    assert window_mean(on_arrays, values, np.arange(5), 5, 2).tolist() == [1.5, 0, 7]
    assert window_mean(on_arrays, values, np.arange(5), 5, 4).tolist() == [1.5, 1.25, 5.75]


def test_geometric_median_by_hand():
    triangle = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]], np.float32)
    np.testing.assert_allclose(geometric_median(triangle), [0.5, 3**0.5 / 6], atol=1e-5)
    cross = np.array([[-1, 0], [1, 0], [0, -1], [0, 100]], np.float32)
    np.testing.assert_allclose(geometric_median(cross), [0, 0], atol=1e-3)
    # more than half the weight on one row makes it the median
    np.testing.assert_allclose(geometric_median(triangle, weights=[5, 1, 1]), [0, 0], atol=1e-4)
    # one pass from the mean 2 of 0, 1, 5: weights 1/2, 1, 1/3, sum 11/6
    assert rfa(column(0, 1, 5), passes=1).tolist() == pytest.approx([(1 + 5 / 3) / (11 / 6)])


def test_geometric_median_is_not_moved_by_rows_far_out():
    rng = np.random.default_rng(1)
    updates = rng.standard_normal((11, 6)).astype(np.float32)
    clean = geometric_median(updates[4:])
    for value in (1e6, 1e30, 3e38):
        updates[:4] = value
        moved = np.abs(geometric_median(updates) - clean).max()
        assert moved < 2.5  # bounded by the spread of the others, whatever the value
    updates[:4] = 1e25
    assert (
        np.abs(
            geometric_median(updates)
            - geometric_median(np.where(updates > 1e20, 1e15, updates).astype(np.float32))
        ).max()
        < 1e-3
    )


def test_centered_clipping_by_hand():
    updates = column(1, 3, 100)
    assert centered_clipping(updates, clip=2.0).tolist() == pytest.approx([5 / 3])  # 1, 2, 2
    # second pass from 5/3: -2/3, 4/3, 2 -> 8/9
    assert centered_clipping(updates, clip=2.0, passes=2).tolist() == pytest.approx([5 / 3 + 8 / 9])
    center = np.array([3], np.float32)
    assert centered_clipping(updates, center=center, clip=1.0).tolist() == pytest.approx([3])
    assert center.tolist() == [3]


def test_norm_bound_by_hand():
    updates = np.array([[3, 4], [0, 1], [30, 40]], np.float32)  # norms 5, 1, 50
    np.testing.assert_allclose(norm_bound(updates), [2, 3], rtol=1e-6)  # median norm 5
    np.testing.assert_allclose(norm_bound(updates, bound=10.0), [3, 13 / 3], rtol=1e-6)
    np.testing.assert_allclose(
        norm_bound(updates, bound=10.0, weights=[0, 1, 1]), [3, 4.5], rtol=1e-6
    )
    noisy = norm_bound(updates, noise=0.1, rng=np.random.default_rng(0))
    assert 0 < np.abs(noisy - norm_bound(updates)).max() < 1
    with pytest.raises(UserError, match="rng: .*got None"):
        norm_bound(updates, noise=0.1)


def test_fltrust_by_hand():
    trusted = np.array([2, 0], np.float32)
    updates = np.array([[1, 0], [0, 5], [-3, 0], [3, 3]], np.float32)
    # cosines 1, 0, -1, 1/sqrt2; rows scaled to length 2: (2, 0) and (sqrt2, sqrt2)
    total, share = 1 + 2**-0.5, 2**-0.5
    np.testing.assert_allclose(
        fltrust(updates, trusted=trusted),
        [(2 + share * 2**0.5) / total, share * 2**0.5 / total],
        rtol=1e-6,
    )
    assert fltrust(-updates[:1], trusted=trusted).tolist() == [0, 0]  # nobody is trusted
    assert fltrust(np.zeros((2, 2), np.float32), trusted=trusted).tolist() == [0, 0]
    assert fltrust(updates, trusted=np.zeros(2, np.float32)).tolist() == [0, 0]
    tiny = np.array([[1e-42, 0], [1, 0]], np.float32)  # too short to be brought to any length
    assert fltrust(tiny, trusted=trusted).tolist() == [2, 0]
    with pytest.raises(UserError, match="a vector of 2 values"):
        fltrust(updates, trusted=np.zeros(3, np.float32))


def test_nearest_neighbor_mixing_by_hand():
    # n = 5, f = 2: each with its 2 nearest others. 0: 0 1 3; 1: 1 0 3 (tie of distances 1 and 2)
    mixed = nearest_neighbor_mixing(column(0, 1, 3, 10, 50), f=2)
    np.testing.assert_allclose(mixed[:, 0], [4 / 3, 4 / 3, 4 / 3, 14 / 3, 21], rtol=1e-6)
    np.testing.assert_allclose(nearest_neighbor_mixing(column(1, 2, 6), f=0)[:, 0], [3, 3, 3])


def test_bucketing_averages_every_row_once():
    updates = np.eye(7, dtype=np.float32)
    for size, rows in ((1, 7), (2, 4), (3, 3), (7, 1), (9, 1)):
        means = bucketing(updates, size=size, seed=0)
        assert means.shape == (rows, 7) and (np.count_nonzero(means, axis=0) == 1).all()
        counts = np.count_nonzero(means, axis=1)
        assert sorted(counts)[1:] == [size] * (rows - 1) or rows == 1
        np.testing.assert_allclose(means.sum(axis=1), 1, rtol=1e-6)
    draws = {
        bucketing(updates, seed=seed, round_number=number).tobytes()
        for seed in range(4)
        for number in range(4)
    }
    assert len(draws) == 16
    assert bucketing(updates, seed=3).tobytes() == bucketing(updates, seed=3).tobytes()


def test_the_order_of_bucketing_is_uniform():
    from tfunlearn.core.seeds import shuffle

    counts = np.zeros((6, 6))
    for number in range(6000):
        counts[np.arange(6), shuffle(np, np.arange(6), 12345, number)] += 1
    assert np.abs(counts / 1000 - 1).max() < 0.15  # five standard deviations of 1000 draws


def test_rows_that_are_not_finite_use_up_the_f():
    good = np.random.default_rng(2).standard_normal((9, 5)).astype(np.float32)
    bad = np.full((2, 5), np.nan, np.float32)
    both = np.concatenate([good[:4], bad, good[4:]])
    both[5] = np.inf
    for rule in (krum, multi_krum, bulyan):
        np.testing.assert_array_equal(rule(both, f=2), rule(good, f=0))
    np.testing.assert_array_equal(trimmed_mean(both, trim=4), trimmed_mean(good, trim=2))
    np.testing.assert_array_equal(trimmed_mean(both, trim=1), trimmed_mean(good, trim=0))
    np.testing.assert_array_equal(median(both), median(good))
    weights = np.arange(11.0)
    np.testing.assert_array_equal(
        mean(both, weights=weights), mean(good, weights=np.delete(weights, [4, 5]))
    )
    assert nearest_neighbor_mixing(both, f=2).shape == (9, 5)


def test_single_distances_survive_a_common_offset_of_large_norm():
    # 30 vectors of norm 1300 that differ by 0.6: a float32 Gram matrix cannot tell them apart
    rng = np.random.default_rng(3)
    base = rng.standard_normal(10_000) * 13
    close = (base + rng.standard_normal((30, 10_000)) * 0.004).astype(np.float32)
    close[7] = base + 0.02
    wide = close.astype(np.float64)
    distances = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    scores = np.sort(distances, axis=1)[:, 1:26].sum(axis=1)  # n - f - 2 = 25
    np.testing.assert_array_equal(krum(close, f=3), close[scores.argmin()])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda u: krum(u, f=2), "krum: .*2f . 3, here n >= 7; got n=6, f=2"),
        (lambda u: multi_krum(u, f=2), "multi_krum: .*got n=6, f=2"),
        (lambda u: multi_krum(u, f=1, m=7), "m: .*1 to n .6.; got 7"),
        (lambda u: multi_krum(u, f=1, m=0), "m: .*got 0"),
        (lambda u: bulyan(u, f=1), "bulyan: .*4f . 3, here n >= 7; got n=6, f=1"),
        (lambda u: trimmed_mean(u, trim=3), "trimmed_mean: .*trim < n / 2.*got n=6, f=3"),
        (lambda u: trimmed_mean(u, trim=0.5), "trimmed_mean: .*got n=6, f=3"),
        (lambda u: trimmed_mean(u, trim=1.5), "trim: .*got 1.5"),
        (lambda u: trimmed_mean(u, trim=-1), "trim: .*got -1"),
        (lambda u: krum(u, f=-1), "f: .*got -1"),
        (lambda u: krum(u, f=1.0), "f: .*got 1.0"),
        (lambda u: krum(u, f=True), "f: .*got True"),
        (
            lambda u: nearest_neighbor_mixing(u, f=3),
            "nearest_neighbor_mixing: .*got n=6, f=3",
        ),
        (lambda u: bucketing(u, size=0, seed=0), "size: .*got 0"),
        (lambda u: geometric_median(u, nu=0), "nu: .*got 0"),
        (lambda u: geometric_median(u, passes=0), "passes: .*got 0"),
        (lambda u: geometric_median(u, weights=np.zeros(6)), "weights: .*a sum > 0; got 0"),
        (lambda u: centered_clipping(u, clip=-1), "clip: .*got -1"),
        (lambda u: centered_clipping(u, center=np.zeros(9)), "center: .*got .9,."),
        (lambda u: norm_bound(u, bound=0), "bound: .*got 0"),
        (lambda u: median(u, compat="x"), "compat: .*got 'x'"),
        (lambda u: centered_clipping(u, clip="x"), "clip: .*got 'x'"),
        (lambda u: centered_clipping(u, center="x"), "center: .*got 'x'"),
        (lambda u: centered_clipping(u, center=[np.nan] * 3), "center: .*got 'not finite'"),
        (lambda u: centered_clipping(u, passes=True), "passes: .*got True"),
        (lambda u: fltrust(u, trusted=[1, 2]), r"trusted: .*a vector of 3 values; got .2,."),
        (lambda u: norm_bound(u, noise=1e308), "noise: .*got 1e.308"),
        (lambda u: norm_bound(u, noise=1, rng=3), "rng: .*got 3"),
        (lambda u: geometric_median(u, nu="x"), "nu: .*got 'x'"),
        (lambda u: geometric_median(u, tolerance=None), "tolerance: .*got None"),
        (lambda u: bucketing(u, seed="x"), "seed: .*got 'x'"),
        (lambda u: bucketing(u, seed=2**70), "seed: .* from 0 to 2147483648"),
        (lambda u: bucketing(u, size=True, seed=0), "size: .*got True"),
        (lambda u: multi_krum(u, f=1, m=True), "m: .*got True"),
        (lambda u: mean(u, weights="abc"), "weights: .*one number per update"),
        (lambda u: mean(u, weights=[1e308] * 6), "weights: .*got 1e.308"),
    ],
)
def test_preconditions_name_field_condition_and_value(call, message):
    with pytest.raises(UserError, match=message):
        call(np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32))


def test_strict_off_warns_and_goes_on():
    updates = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    for call in (
        lambda: krum(updates, f=2, strict=False),
        lambda: multi_krum(updates, f=1, strict=False),
        lambda: bulyan(updates, f=1, strict=False),
        lambda: trimmed_mean(updates, trim=2, strict=False),
    ):
        with pytest.warns(UserWarning, match="needs .*got n="):
            assert np.isfinite(call()).all()
