"""The streamed mean against the mean of the stack, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import mean
from tfunlearn.aggregation.streaming import StreamedMean
from tfunlearn.core.errors import UserError


@pytest.mark.parametrize("count", [1, 2, 7, 90])
def test_the_bits_are_those_of_the_stack(count, rng):
    stack = (rng.standard_normal((count, 1003)) * 10.0 ** rng.integers(-8, 8, 1003)).astype("f")
    weights = rng.integers(0, 1000, count)
    weights[0] = 3
    streamed = StreamedMean(1003)
    for row, weight in zip(stack, weights):
        streamed.add(row, weight)
    assert streamed.result().tobytes() == mean(stack, weights=weights).tobytes()


def test_by_hand_and_without_a_reference_to_the_row():
    streamed, row = StreamedMean(2), np.array([1, -2], np.float32)
    streamed.add(row, 1)
    row[:] = [4, 7]
    streamed.add(row, 2)
    np.testing.assert_array_equal(streamed.result(), np.array([3, 4], np.float32))


def test_weights_that_sum_to_zero_are_refused():
    streamed = StreamedMean(2)
    streamed.add(np.ones(2, np.float32), 0)
    with pytest.raises(UserError, match="weights: .*a sum > 0"):
        streamed.result()
