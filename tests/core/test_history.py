"""Which rounds a policy keeps, and a client's model from its update."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.core.history import HistoryPolicy, HistoryRound


@pytest.mark.parametrize(
    "text, stay",
    [
        ("none", []),
        ("last", []),
        ("all", [1, 2, 3, 4, 5, 6, 7]),
        ("every=1", [1, 2, 3, 4, 5, 6, 7]),
        ("every=2", [1, 3, 5, 7]),
        ("every=3", [1, 4, 7]),
        ("every=100", [1]),
    ],
)
def test_rounds_that_stay(text, stay):
    policy = HistoryPolicy.parse(text)
    assert [n for n in range(1, 8) if policy.stays(n)] == stay
    assert policy.keeps == (text != "none")


@pytest.mark.parametrize("text", ["", "every", "every=", "every=0", "every=x", "every=-2", "ALL"])
def test_other_words_are_refused(text):
    with pytest.raises(UserError, match="none, last, all, or every=K"):
        HistoryPolicy.parse(text)


def test_local_models_are_global_plus_update():
    weights = [np.array([[1.0, 2.0]], np.float32), np.array([3.0], np.float32)]
    kept = HistoryRound(
        1,
        weights,
        np.array([4, 9]),
        np.array([[1, 1, 1], [0, -2, 5]], np.float32),
        np.array([1, 1]),
    )
    first, second = kept.local_models()
    assert len(first) == 2
    np.testing.assert_array_equal(first[0], [[2, 3]])
    np.testing.assert_array_equal(second[0], [[1, 0]])
    np.testing.assert_array_equal(second[1], [8])
    assert [array.tolist() for array in second] == [[[1, 0]], [8]]
