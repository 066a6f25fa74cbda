"""Stop rules and the rate limiter, on curves and rounds a reader can follow."""

from __future__ import annotations

import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.unlearning import RateLimiter
from tfunlearn.unlearning.stopping import bound_rounds, is_over, plateau_round, target_round


@pytest.mark.parametrize(
    "rounds, fraction, expected",
    [(50, 0.10, 5), (50, 0.15, 8), (50, 0.03, 2), (50, 0.06, 3), (30, 0.0, 1), (30, 0.1, 3)],
)
def test_the_bound(rounds, fraction, expected):
    assert bound_rounds(rounds, fraction) == expected


def test_plateau_is_two_rounds_without_two_tenths_of_a_point():
    assert plateau_round([0.1, 0.5, 0.501, 0.5015]) == 3
    assert plateau_round([0.1, 0.5, 0.501, 0.503, 0.504]) is None
    assert plateau_round([0.1, 0.5, 0.501, 0.503, 0.504, 0.5]) == 5
    assert plateau_round([0.9, 0.1, 0.2]) == 2
    assert plateau_round([0.9]) is None
    for count in range(1, 499):  # exactly 0.2 points more each time, whatever floats make of it
        values = [(count + n) / 500 for n in range(3)]
        assert plateau_round(values) is None and target_round(values[:1], values[0] + 0.01) == 0


def test_target_is_within_a_point_of_before():
    assert target_round([0.2, 0.90, 0.94, 0.951], 0.96) == 3
    assert target_round([0.955], 0.96) == 0
    assert target_round([0.2, 0.3], 0.96) is None
    assert is_over("target", [0.2, 0.96], 0.96) and not is_over("target", [0.2, 0.9], 0.96)
    assert not is_over("target", [0.96, 0.1], 0.96)  # what was reached before recovery is over
    assert is_over("plateau", [0.2, 0.2, 0.2], 1) and not is_over("rounds", [0.2, 0.2, 0.2], 0.1)


def test_two_unlearnings_are_at_least_so_many_rounds_apart():
    limiter = RateLimiter(10)
    first = limiter.decide(30, None, [4, 2])
    assert (first.unlearn, first.pending, first.wait) == ((2, 4), (), 0)
    early = limiter.decide(35, 30, [7])
    assert (early.unlearn, early.pending, early.wait) == ((), (7,), 5)
    later = limiter.decide(40, 30, [1], early.pending)  # they add up
    assert (later.unlearn, later.pending, later.wait) == ((1, 7), (), 0)
    assert RateLimiter(0).decide(30, 30, [1]).unlearn == (1,)
    with pytest.raises(UserError, match="rate_limit"):
        RateLimiter(-1)
