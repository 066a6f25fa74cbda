"""From evidence to words, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
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
    assert found.word == "partly"
    assert "0.4 against 0.12 +- 0.099 (1 before: 68% of the way)" in found.sentence
    # of two, one or more by chance: 1 - 0.95^2
    assert "1 or more of 2 outside in up to 10% of cases" in found.sentence
    assert judge([evidence(0.15), evidence(0.13, before=0.12)]).word == "forgotten"
    assert judge([evidence(0.4), evidence(0.9)]).word == "not"


def test_who_hardly_tells_does_not_speak_for_forgetting():
    """Noise 0.0994: the model before, 0.15 off, is outside, but not twice as far."""
    hardly = evidence(0.21, before=0.27)
    assert not hardly.tells and hardly.within and hardly.grade == "cannot tell"
    assert judge([hardly]).word == "not shown"
    assert evidence(0.2, before=0.33).tells  # who is within has come half of the way
    assert evidence(0.2, before=0.33).closed > 0.5


def test_going_too_far_is_not_forgetting():
    """An example that is told apart because it is known worse than by who never saw it."""
    gone = evidence(0.0, before=0.9, retrained=(0.5, 0.51, 0.52))
    assert gone.closed > 1.5 and judge([gone]).word == "not"
    assert "it went too far" in judge([gone]).sentence
    assert judge([evidence(0.4, before=0.9, retrained=(0.5, 0.51, 0.52))]).word == "partly"


def test_moving_away_where_nothing_was_to_be_seen():
    assert judge([evidence(0.9, before=0.12)]).word == "not"
    assert judge([evidence(0.27, before=0.12)]).word == "partly"  # 1.5 times the noise
    assert "went away" in judge([evidence(1.2)]).sentence


def test_one_retrained_model_is_said():
    found = judge([evidence(0.105, retrained=(0.1,))])
    assert found.word == "forgotten" and "its spread is unknown" in found.sentence
    assert "3 retrained models" in judge([evidence(0.15)]).sentence
    # by the tolerance alone nothing that was not to be told is held against it
    assert judge([evidence(0.14, before=0.11, retrained=(0.1,))]).word == "not shown"
    assert judge([evidence(0.8, retrained=(0.1,))]).word == "not"


def test_a_band_of_its_own():
    known = evidence(0.6, before=0.9, retrained=(0.5,), band=0.15)
    assert known.noise == 0.15 and known.grade == "forgotten"
    assert evidence(0.7, before=0.6, retrained=(0.5,), band=0.15).grade == "partly"


@pytest.mark.parametrize("models", [3, 5, 10])
def test_a_perfect_unlearning_is_seldom_called_not_forgotten(models):
    rng, words = np.random.default_rng(models), []
    for _ in range(300):
        draws = rng.normal(0, 1, (6, models + 1))
        words.append(judge([Evidence(str(n), 30.0 if n < 2 else 0.0, draw[0], tuple(draw[1:]), 0.0)
                            for n, draw in enumerate(draws)]).word)
    assert words.count("not") <= 0.1 * 300 and words.count("forgotten") > 0.6 * 300


def test_a_model_that_did_nothing_is_never_called_forgotten(rng):
    for _ in range(300):
        draws = rng.normal(0, 1, (6, 3))
        start = rng.normal(0, 5, 6)
        assert judge([Evidence(str(n), float(before), float(before), tuple(draw), 0.0)
                      for n, (before, draw) in enumerate(zip(start, draws))]).word != "forgotten"
