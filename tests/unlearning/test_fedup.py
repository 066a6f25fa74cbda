"""FedUP's mask and average: by hand, by brute force, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.core.history import HistoryRound
from tfunlearn.unlearning import estimate_fraction, fedup
from tfunlearn.unlearning.masks import entries_of, largest
from tfunlearn.unlearning.similarity import mean_cosine


def by_hand():
    """A 2x2 kernel and a bias; client 0 is malicious, 1 and 2 are not."""
    G = [np.array([[1.0, -2.0], [3.0, 0.0]], np.float32), np.array([5.0, 6.0], np.float32)]
    clients = [
        [np.array([[3.0, -2.0], [4.0, 9.0]], np.float32), np.array([9.0, 9.0], np.float32)],
        [np.array([[1.0, -4.0], [3.0, 1.0]], np.float32), np.array([1.0, 2.0], np.float32)],
        [np.array([[1.0, -2.0], [3.0, 1.0]], np.float32), np.array([3.0, 4.0], np.float32)],
    ]
    return G, clients


def test_the_mask_by_hand():
    # benign average [[1, -3], [3, 1]]; difference [[2, 1], [1, 8]]; squared times |G|:
    # [[4 * 1, 1 * 2], [1 * 3, 64 * 0]] = [[4, 2], [3, 0]]
    G, clients = by_hand()
    half = fedup(G, clients, malicious=[0], fraction=0.5)
    np.testing.assert_array_equal(half.masks[0], [[True, False], [True, False]])
    np.testing.assert_array_equal(half.weights[0], [[0, -3], [0, 1]])
    np.testing.assert_array_equal(half.weights[1], [2, 3])  # the bias is the benign average
    assert half.counts == {0: 2} and half.fraction == 0.5 and half.estimate is None
    few = fedup(G, clients, malicious=[0], fraction=0.34)  # of 3 entries that are not 0: ceil(1.02)
    np.testing.assert_array_equal(few.masks[0], half.masks[0])
    one = fedup(G, clients, malicious=[0], fraction=0.33)  # ceil(0.99)
    np.testing.assert_array_equal(one.masks[0], [[True, False], [False, False]])


def test_a_share_is_of_what_is_alive():
    """A layer pruned to one filter of four keeps most of it: a quarter of 8 live entries are 2, not
    8 of 32, which would be the whole filter."""
    G = np.zeros((2, 2, 2, 4), np.float32)
    G[..., 1] = np.arange(1, 9).reshape(2, 2, 2)
    attacker = G.copy()
    attacker[..., 1] += 1
    found = fedup([G], [[attacker], [G], [G]], malicious=[0], fraction=0.25)
    assert found.counts == {0: 2}
    assert found.weights[0][..., 1].ravel().tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    for mask in ("magnitude", "random"):
        assert (
            fedup(
                [G],
                [[attacker], [G], [G]],
                malicious=[0],
                fraction=0.25,
                mask=mask,
                rng=np.random.default_rng(0),
            )
            .masks[0][..., 1]
            .sum()
            == 2
        )


def test_sample_weights_change_both_means():
    # examples 1, 3, 1: benign average (3 * w1 + w2) / 4
    G, clients = by_hand()
    weighted = fedup(G, clients, malicious=[0], fraction=0, examples=[1, 3, 1])
    np.testing.assert_array_equal(weighted.weights[0], [[1, -3.5], [3, 1]])
    np.testing.assert_array_equal(weighted.weights[1], [1.5, 2.5])


def test_controls_by_hand():
    G, clients = by_hand()
    large = fedup(G, clients, malicious=[0], fraction=0.5, mask="magnitude")
    np.testing.assert_array_equal(large.masks[0], [[False, True], [True, False]])  # |G| 3 and 2
    draws = {
        fedup(G, clients, malicious=[0], fraction=0.5, mask="random", rng=np.random.default_rng(n))
        .masks[0]
        .tobytes()
        for n in range(30)
    }
    assert len(draws) == 3  # every choice of 2 among the 3 that are not zero
    again = [
        fedup(
            G, clients, malicious=[0], fraction=0.5, mask="random", rng=np.random.default_rng(3)
        ).masks[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*again)


def test_random_models_against_brute_force(rng):
    shapes = [(3, 3, 2, 4), (4,), (12, 5), (5,), (5, 3)]
    for trial in range(20):
        G = [rng.normal(size=s).astype(np.float32) for s in shapes]
        n, m = int(rng.integers(3, 9)), 1
        m = int(rng.integers(1, (n + 1) // 2))
        clients = [
            [g + 0.1 * rng.normal(size=g.shape).astype(np.float32) for g in G] for _ in range(n)
        ]
        bad = sorted(rng.choice(n, m, replace=False).tolist())
        sizes, fraction = rng.integers(1, 50, n), float(rng.uniform(0, 1))
        got = fedup(G, clients, malicious=bad, fraction=fraction, examples=sizes, kernels=[0, 2, 4])
        for place, g in enumerate(G):
            ranks, average = {}, np.zeros(g.shape)
            for index in np.ndindex(g.shape):
                sides = []
                for group in (bad, [k for k in range(n) if k not in bad]):
                    sides.append(
                        sum(float(sizes[k]) * float(clients[k][place][index]) for k in group)
                        / sum(float(sizes[k]) for k in group)
                    )
                average[index] = sides[1]
                ranks[index] = (sides[0] - sides[1]) ** 2 * abs(float(g[index]))
            if place in (0, 2, 4):
                count = math.ceil(round(fraction * g.size, 6))
                for index in sorted(ranks, key=lambda i: -ranks[i])[:count]:
                    average[index] = 0
                assert got.counts[place] == count
            np.testing.assert_allclose(got.weights[place], average, rtol=1e-6, atol=1e-9)
            assert got.weights[place].dtype == np.float32


def test_models_and_updates_give_the_same(rng):
    shapes = [(6, 5), (5,), (5, 4)]
    G = [rng.normal(size=s).astype(np.float32) for s in shapes]
    updates = (0.1 * rng.normal(size=(5, 55))).astype(np.float32)
    kept = HistoryRound(3, G, np.arange(5), updates, np.full(5, 7))
    models = [
        [g + u.reshape(g.shape) for g, u in zip(G, np.split(update, [30, 35]))]
        for update in updates
    ]
    a = fedup(G, kept.local_models(), malicious=[1, 3], fraction=0.3)
    b = fedup(G, models, malicious=[1, 3], fraction=0.3)
    for left, right in zip(a.weights, b.weights):
        np.testing.assert_array_equal(left, right)
    # the difference of the means is that of the updates
    difference = updates[[1, 3]].mean(axis=0) - updates[[0, 2, 4]].mean(axis=0)
    rank = difference[:30] ** 2 * np.abs(G[0]).ravel()
    np.testing.assert_array_equal(a.masks[0].ravel(), largest(rank, 0.3, np.ones_like(rank)))


def test_nothing_pruned_is_the_benign_average_and_inputs_stay(rng):
    G = [rng.normal(size=(4, 3)).astype(np.float32), np.ones(3, np.float32)]
    clients = [[g + rng.normal(size=g.shape).astype(np.float32) for g in G] for _ in range(4)]
    before = [[w.copy() for w in client] for client in [G, *clients]]
    none = fedup(G, clients, malicious=[2], fraction=0)
    assert none.counts == {0: 0}
    everything = fedup(G, clients, malicious=[2], fraction=1)
    assert not everything.weights[0].any()
    np.testing.assert_array_equal(everything.weights[1], none.weights[1])
    for place in (0, 1):
        mean = np.mean([clients[k][place].astype(np.float64) for k in (0, 1, 3)], axis=0)
        np.testing.assert_array_equal(none.weights[place], mean.astype(np.float32))
    for kept, now in zip(before, [G, *clients]):
        for a, b in zip(kept, now):
            np.testing.assert_array_equal(a, b)


def test_ties_go_to_the_first_in_c_order():
    scores = np.array([[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]])
    ones = np.ones((2, 3))
    np.testing.assert_array_equal(
        largest(scores, 0.5, ones), [[False, True, True], [True, False, False]]
    )
    np.testing.assert_array_equal(
        largest(np.zeros((2, 2)), 0.75, np.ones((2, 2))), [[True, True], [True, False]]
    )
    assert largest(scores, 0, ones).sum() == 0 and largest(scores, 1, ones).all()


@pytest.mark.parametrize(
    "size, fraction, count",
    [
        (150, 0.1, 15),
        (30, 0.1, 3),
        (10, 0.01, 1),
        (840, 0.15, 126),
        (7, 1.0, 7),
        (7, 0.0, 0),
        (62006, 1e-7, 1),
        (3, 0.34, 2),
    ],
)
def test_ceil_without_float_noise(size, fraction, count):
    assert entries_of(size, fraction) == (count if fraction * size > 1e-6 else 0) or count == 1


def test_the_fraction_from_similarity_by_hand():
    # cosines of (1, 0), (1, 1), (0, 1): 1/sqrt 2, 0, 1/sqrt 2
    rows = np.array([[2.0, 0.0], [3.0, 3.0], [0.0, 5.0]])
    assert mean_cosine(rows) == pytest.approx(2 / math.sqrt(2) / 3)
    estimate = estimate_fraction(rows)  # 0.4714 is below the range
    assert (estimate.z, estimate.fraction, estimate.clients) == (0.0, 0.01, 3)
    assert estimate_fraction(np.array([[1.0, 2.0], [2.0, 4.0]])).fraction == pytest.approx(0.15)
    # cosine 0.8 -> z 0.6 -> 0.14 * 0.6^5 + 0.01
    middle = estimate_fraction(np.array([[1.0, 0.0], [0.8, 0.6]]))
    assert middle.z == pytest.approx(0.6) and middle.fraction == pytest.approx(0.0208864)


@pytest.mark.parametrize("z, percent", [(0.98, 13.7), (0.78, 5.0), (0.68, 3.0), (0.81, 5.9)])
def test_the_fractions_that_the_specification_works_out(z, percent):
    cosine = 0.5 + z / 2
    rows = np.array([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]])
    assert 100 * estimate_fraction(rows).fraction == pytest.approx(percent, abs=0.06)


def test_auto_looks_at_the_last_kernel_of_benign_clients(rng):
    G = [rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)]
    clients = [[g + rng.normal(size=g.shape).astype(np.float32) for g in G] for _ in range(4)]
    got = fedup(G, clients, malicious=[0])
    rows = np.stack([clients[k][1].ravel() for k in (1, 2, 3)])
    assert got.estimate == estimate_fraction(rows) and got.fraction == got.estimate.fraction
    updates = fedup(G, clients, malicious=[0], similarity="update")
    assert updates.estimate == estimate_fraction(rows - G[1].ravel())


def test_one_benign_client_gets_the_least_fraction_and_a_warning():
    with pytest.warns(UserWarning, match="least fraction"):
        estimate = estimate_fraction(np.ones((1, 3)))
    assert estimate.fraction == 0.01 and estimate.z is None


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(malicious=[]), "at least one client"),
        (dict(malicious=[0, 1]), "malicious: .*benign majority; got '2 of 3 clients'"),
        (dict(malicious=[3]), "malicious: .*from 0 to 2; got .3."),
        (dict(fraction=1.2), "fraction: .*got 1.2"),
        (dict(fraction=-0.1), "fraction: .*got -0.1"),
        (dict(fraction=math.nan), "fraction"),
        (dict(fraction="all"), "fraction"),
        (dict(mask="rand"), "did you mean 'random'"),
        (dict(mask="random"), "a generator"),
        (dict(similarity="x"), "similarity"),
        (dict(examples=[1, 2]), "3 numbers > 0"),
        (dict(examples=[1, 0, 2]), "3 numbers > 0"),
    ],
)
def test_refusals(values, message):
    G, clients = by_hand()
    with pytest.raises(UserError, match=message):
        fedup(G, clients, **{**dict(malicious=[0], fraction=0.5), **values})


def test_broken_weights_are_refused():
    G, clients = by_hand()
    clients[1][0][0, 0] = np.nan
    with pytest.raises(UserError, match="array 0 must be finite"):
        fedup(G, clients, malicious=[0], fraction=0.5)
    for value in (np.nan, np.inf):
        G, clients = by_hand()
        G[0][1, 1] = value
        with pytest.raises(UserError, match="global_weights: .*got 'NaN or infinity in array 0'"):
            fedup(G, clients, malicious=[0], fraction=0.5)
    G, clients = by_hand()
    clients[2][1] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match=r"array 1 of client 2 .*got \(3,\)"):
        fedup(G, clients, malicious=[0], fraction=0.5)
    clients[2] = clients[2][:1]
    with pytest.raises(UserError, match="1 arrays of client 2"):
        fedup(G, clients, malicious=[0], fraction=0.5)
