"""The weighted mean."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import mean
from tfunlearn.core.errors import UserError


def test_by_hand():
    updates = np.array([[1, 2], [3, 6]], np.float32)
    assert mean(updates).tolist() == [2, 4]
    result = mean(updates, weights=np.array([1, 3]))
    assert result.tolist() == [2.5, 5] and result.dtype == np.float32
    assert updates.tolist() == [[1, 2], [3, 6]]


@pytest.mark.parametrize(
    "updates, weights, message",
    [
        (np.zeros((0, 2), np.float32), None, "n and d at least 1"),
        (np.zeros((2, 0), np.float32), None, "n and d at least 1"),
        (np.zeros(3, np.float32), None, r"updates: .*float32 stack \(n, d\).*shape \(3,\)"),
        (np.array([["a"]]), None, "updates: .*float32 stack.*got <U1"),
        ([[1.0], [1.0, 2.0]], None, "different lengths"),
        (np.full((2, 2), np.nan, np.float32), None, "at least one row must be finite"),
        (np.ones((2, 2), np.float32), np.zeros(2), "weights: .*a sum > 0; got 0"),
        (np.ones((2, 2), np.float32), np.ones(3), r"weights: .*one weight per.*got shape \(3,\)"),
        (np.ones((2, 2), np.float32), np.array([1, -1]), "weights: .*got (-1.0|nan)"),
        (np.ones((2, 2), np.float32), np.array([1, np.nan]), "weights: .*got (-1.0|nan)"),
    ],
)
def test_what_cannot_be_averaged(updates, weights, message):
    with pytest.raises(UserError, match=message):
        mean(updates, weights=weights)
