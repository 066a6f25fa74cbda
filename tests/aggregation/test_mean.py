"""The weighted mean."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import mean


def test_by_hand():
    updates = np.array([[1, 2], [3, 6]], np.float32)
    assert mean(updates).tolist() == [2, 4]
    result = mean(updates, weights=np.array([1, 3]))
    assert result.tolist() == [2.5, 5] and result.dtype == np.float32
    assert updates.tolist() == [[1, 2], [3, 6]]


@pytest.mark.parametrize("updates, weights", [
    (np.zeros((0, 2), np.float32), None), (np.ones((2, 2), np.float32), np.zeros(2))])
def test_nothing_to_average(updates, weights):
    with pytest.raises(ValueError, match="sum > 0"):
        mean(updates, weights=weights)
