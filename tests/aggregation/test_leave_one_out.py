"""Leaving each client out, with shared distances and sorts, against doing it anew."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import RULES, Aggregator
from tfunlearn.aggregation.leave_one_out import without_each
from tfunlearn.core.errors import UserError


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rows", [12, 13])
@pytest.mark.parametrize("f", [0, 2])
def test_same_as_the_rule_on_the_others(name, rows, f, rng):
    updates = rng.standard_normal((rows, 50)).astype(np.float32)
    updates[:, :10] = np.round(updates[:, :10])  # ties
    updates[2] = updates[3]
    weights = rng.integers(1, 100, rows).astype(float)
    reference = updates[0] if RULES[name].reference else None
    compat = {"compat": "flap"} if name == "median" and f else {}
    aggregator = Aggregator(name, f, **compat).without_noise()
    before = updates.copy()
    results = list(without_each(aggregator, updates, weights=weights, f=f, reference=reference))
    assert len(results) == rows
    for left_out, result in enumerate(results):
        kept = np.arange(rows) != left_out
        expected = aggregator(updates[kept], weights=weights[kept], reference=reference, f=f)
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(updates, before)


def test_rows_far_out_do_not_cancel_the_others(rng):
    updates = rng.standard_normal((9, 20)).astype(np.float32)
    updates[:2] = 1e30
    for name in ("trimmed-mean", "median", "mean"):
        for left_out, result in enumerate(without_each(Aggregator(name, 1), updates, f=1)):
            expected = Aggregator(name, 1)(np.delete(updates, left_out, axis=0), f=1)
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_noise_is_left_out(rng):
    updates = rng.standard_normal((5, 8)).astype(np.float32)
    noisy, plain = Aggregator("norm-bound", 1, noise=1.0), Aggregator("norm-bound", 1)
    for a, b in zip(without_each(noisy, updates, f=1), without_each(plain, updates, f=1)):
        np.testing.assert_array_equal(a, b)


def test_behind_a_step_it_runs_anew(rng):
    updates = rng.standard_normal((9, 20)).astype(np.float32)
    aggregator = Aggregator("median", 1, before=("nearest-neighbor-mixing",))
    results = list(without_each(aggregator, updates, f=1))
    np.testing.assert_array_equal(results[4], aggregator(np.delete(updates, 4, axis=0), f=1))


def test_wide_stacks_in_blocks(rng):
    updates = rng.standard_normal((5, 30_000)).astype(np.float32)
    for left_out, result in enumerate(without_each(Aggregator("median", 1), updates, f=1)):
        np.testing.assert_allclose(
            result, np.median(np.delete(updates, left_out, axis=0), axis=0), rtol=1e-6
        )


def test_it_refuses_what_it_cannot_leave_out():
    with pytest.raises(UserError, match="at least 2 rows"):
        list(without_each(Aggregator(), np.ones((1, 3), np.float32), f=0))
    with pytest.raises(UserError, match="finite rows; got 'NaN or infinity'"):
        list(without_each(Aggregator(), np.array([[1], [np.nan]], np.float32), f=0))
