"""Exact clusters in one dimension, and the gap statistic, against enumeration and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfunlearn.detection import auc, gap_statistic, lasting_since, upper_cluster
from tfunlearn.detection.clusters import costs_of_clusters


def best_cost(values: np.ndarray, clusters: int) -> float:
    """Try every assignment of values to clusters."""
    best = np.inf
    for labels in itertools.product(range(clusters), repeat=len(values)):
        parts = [values[np.array(labels) == k] for k in range(clusters)]
        best = min(best, sum(float(((p - p.mean()) ** 2).sum()) for p in parts if len(p)))
    return best


def test_costs_are_those_of_the_best_assignment():
    values = np.random.default_rng(0).random(7)
    for clusters, cost in enumerate(costs_of_clusters(values, 4), start=1):
        assert cost == pytest.approx(best_cost(values, clusters), abs=1e-12)


def test_the_upper_cluster_by_hand():
    # 0, 1 | 10, 12: costs 0.5 + 2; the others are larger
    assert upper_cluster(np.array([10.0, 0.0, 12.0, 1.0])).tolist() == [True, False, True, False]
    assert upper_cluster(np.array([0.0, 0.0, 1.0])).tolist() == [False, False, True]


def test_how_many_clusters():
    rng = np.random.default_rng(1)
    even = rng.uniform(0.9, 1.1, 20)
    assert gap_statistic(even).clusters == 1
    apart = np.concatenate([rng.uniform(0.9, 1.1, 14), rng.uniform(3.0, 3.2, 6)])
    found = gap_statistic(apart)
    assert found.clusters == 2 and len(found.gaps) == 7
    assert gap_statistic(apart[::-1] * 1000).clusters == 2  # order and unit do not matter
    assert gap_statistic(np.full(9, 0.3)).clusters == 1
    assert gap_statistic(np.array([1.0, 5.0])).clusters == 1  # two cannot be outvoted


def test_shares_need_more_than_one_round_of_difference():
    perfect = np.array([0.0] * 6 + [1.0] * 4)
    assert gap_statistic(perfect, 1 / 25).clusters == 2
    chance = np.array([0.36] * 6 + [0.40] * 4)  # one round of 25
    assert gap_statistic(chance, 1 / 25).clusters == 1
    assert gap_statistic(np.array([0.0, 0.04, 0.0, 0.08, 0.04, 0.0]), 1 / 25).clusters == 1


def test_auc_counts_pairs():
    assert auc([3, 1], [2, 0]) == 0.75
    assert auc([1, 1], [1, 1]) == 0.5
    assert auc([], [1]) is None


def test_lasting_detection_begins_after_the_last_lapse():
    flags = [(5, (1, 2)), (6, (1,)), (7, (1, 2)), (8, (1, 2, 3))]
    assert lasting_since(flags, [1, 2]) == 7
    assert lasting_since(flags, [1]) == 5
    assert lasting_since(flags, [4]) is None
    assert lasting_since(flags, []) is None
