"""From evidence to words, with numbers worked out by hand."""

from __future__ import annotations

import pytest

from tfunlearn.verification import Evidence, judge


def evidence(after, before=1.0, retrained=(0.1, 0.12, 0.14), **more):
    return Evidence("forgotten data, accuracy", before, after, retrained, **more)


def test_noise_by_hand():
    three = evidence(0.2)
    # t(0.975, 2) = 4.30265; s = 0.02; sqrt(1 + 1/3) = 1.154701
    assert three.mean == pytest.approx(0.12) and three.spread == pytest.approx(0.02)
    assert three.noise == pytest.approx(4.302653 * 0.02 * 1.1547005, rel=1e-6)
    assert three.within and three.tells and three.closed == pytest.approx(0.8 / 0.88)
    one = evidence(0.2, retrained=(0.1,))
    assert one.spread is None and one.noise == 0.01 and not one.within
    assert evidence(0.5, retrained=(0.5, 0.5)).noise == 0.01


def test_four_verdicts():
    assert judge([evidence(0.15)]).word == "forgotten"
    assert judge([evidence(0.4)]).word == "partly"
    assert judge([evidence(0.9)]).word == "not"
    assert judge([evidence(0.13, before=0.12)]).word == "not shown"
    found = judge([evidence(0.15), evidence(0.4)])
    assert found.word == "partly" and "0.4 against 0.12 +- 0.099 (68% of the way)" in found.sentence
    assert judge([evidence(0.15), evidence(0.13, before=0.12)]).word == "forgotten"
    assert judge([evidence(0.4), evidence(0.9)]).word == "not"


def test_going_too_far_is_not_forgetting():
    """An example that is told apart because it is known worse than by who never saw it."""
    gone = evidence(0.0, before=0.9, retrained=(0.5, 0.51, 0.52))
    assert gone.closed > 1.5 and judge([gone]).word == "not"
    assert judge([evidence(0.4, before=0.9, retrained=(0.5, 0.51, 0.52))]).word == "partly"


def test_moving_away_where_nothing_was_to_be_seen():
    assert judge([evidence(0.9, before=0.12)]).word == "not"


def test_one_retrained_model_is_said():
    found = judge([evidence(0.105, retrained=(0.1,))])
    assert found.word == "forgotten" and "its spread is unknown" in found.sentence
    assert "3 retrained models" in judge([evidence(0.15)]).sentence
