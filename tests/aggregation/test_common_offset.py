"""Rules that use distances, on rows with a common offset of 1,000 times their spread: the choice is
that of the definition, worked out here in whole numbers, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.aggregation import (
    bulyan,
    geometric_median,
    krum,
    multi_krum,
    nearest_neighbor_mixing,
    rfa,
)
from tfunlearn.aggregation.krum_flap import krum_flap
from tfunlearn.attacks.geometry import Geometry
from tfunlearn.core.blocks import central_row, pairwise_squared_distances

GRID = (
    1024  # rows are whole multiples of 1 / 1024, so that differences and sums of squares are exact
)


def stack_of(rng, n, d, outlier):
    """Rows of spread 1 around 1,000, as whole numbers of 1 / GRID and as float32."""
    whole = 1000 * GRID + rng.integers(-4, 5, (n, d)) * (GRID // 4)
    if outlier:
        whole[0] = -whole[0]
    return whole, (whole / GRID).astype(np.float32)


def scores_of(whole, rows, neighbors):
    """Krum's scores among some rows, exactly."""
    return {
        i: sum(
            sorted(int(((whole[i] - whole[j]) ** 2).sum()) for j in rows if j != i)[
                : max(neighbors, 1)
            ]
        )
        for i in rows
    }


def best_of(whole, rows, f, count):
    scores = scores_of(whole, rows, len(rows) - f - 2)
    return sorted(rows, key=lambda i: (scores[i], i))[:count]


def picked_by_bulyan(whole, f):
    left, picked = list(range(len(whole))), []
    while len(picked) < len(whole) - 2 * f:
        picked.append(left.pop(left.index(best_of(whole, left, f, 1)[0])))
    return picked


def around_the_median(column, size):
    column = sorted(column)
    center = (column[(len(column) - 1) // 2] + column[len(column) // 2]) / 2
    return np.mean(sorted(column, key=lambda x: (abs(x - center), x))[:size])


CASES = [
    (n, d, outlier, as_tensor)
    for n, d in ((7, 1), (11, 1), (9, 3), (15, 2))
    for outlier in (False, True)
    for as_tensor in (False, True)
]


@pytest.mark.parametrize("n, d, outlier, as_tensor", CASES)
def test_the_choice_is_the_definitions(rng, n, d, outlier, as_tensor):
    for _ in range(25):
        whole, rows = stack_of(rng, n, d, outlier)
        given, f, everybody = tf.constant(rows) if as_tensor else rows, (n - 3) // 4, list(range(n))
        np.testing.assert_array_equal(krum(given, f=f), rows[best_of(whole, everybody, f, 1)[0]])
        m = n - f - 2
        np.testing.assert_allclose(
            multi_krum(given, f=f),
            rows[best_of(whole, everybody, f, m)].mean(axis=0, dtype=float),
            rtol=1e-7,
        )
        picked = whole[picked_by_bulyan(whole, f)] / GRID
        np.testing.assert_allclose(
            bulyan(given, f=f),
            [around_the_median(column, n - 4 * f) for column in picked.T],
            rtol=1e-7,
        )
        squares = ((whole[:, None] - whole[None]) ** 2).sum(axis=2)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, : n - f]
        np.testing.assert_allclose(
            nearest_neighbor_mixing(given, f=f), rows[nearest].mean(axis=1, dtype=float), rtol=1e-7
        )


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_geometric_median_moves_with_its_rows(rng, as_tensor):
    rows = rng.integers(-4, 5, (9, 3)).astype(np.float32) / 4
    moved = rows + np.float32(1000)
    convert = tf.constant if as_tensor else np.asarray
    for rule in (geometric_median, rfa):
        np.testing.assert_allclose(
            np.asarray(rule(convert(moved))) - 1000, rule(convert(rows)), atol=1e-4
        )


def test_flaps_multi_krum_and_the_attacks_see_the_same_distances(rng):
    whole, rows = stack_of(rng, 9, 4, False)
    exact = ((whole[:, None] - whole[None]) ** 2).sum(axis=2) / GRID**2
    np.testing.assert_array_equal(pairwise_squared_distances(rows), exact)
    np.testing.assert_array_equal(Geometry(rows).squared_distances(), exact)
    moved = krum_flap(rows, f=2)
    scores = np.sort(np.sqrt(exact), axis=1)[:, 1:6].sum(axis=1)
    best = np.argsort(scores, kind="stable")[:5]
    np.testing.assert_allclose(moved, rows[best].sum(axis=0, dtype=float) / 9, rtol=1e-6)


def test_a_minority_far_off_costs_no_digits(rng):
    """The center is a row of median norm: two of five rows at 1e30, or at zero, do not become it."""
    rows = np.array([[1000.0], [1000.5], [1002.0], [1e30], [-1e30]], np.float32)
    near = pairwise_squared_distances(rows)[:3, :3]
    assert near.tolist() == [[0, 0.25, 4], [0.25, 0, 2.25], [4, 2.25, 0]]
    assert central_row(rows) == 2
