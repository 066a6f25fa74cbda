"""The recovery guard, on curves computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfunlearn.workflows.unlearn.guard import RecoveryGuard, damage, remembered

LABELS = np.repeat(np.arange(10), 30)  # chance is 0.1, H is log 10 = 2.303
BEFORE = dict(remain_accuracy=0.95, remain_loss=0.2)


def lines(*pairs):
    return [dict(remain_accuracy=a, remain_loss=b) for a, b in pairs]


def guard(start=(0.4, 1.6), before=BEFORE, **options):
    return RecoveryGuard(LABELS, before, lines(start)[0], **options)


def test_a_net_without_signal_fails_after_five_rounds():
    dead = lines(*[(0.1, 2.34)] * 5)
    assert guard().failure(dead[:4]) is None
    said = guard().failure(dead)
    assert "chance level (0.100; always answering the most frequent class gives 0.100)" in said
    assert guard(patience=8).failure(dead) is None


def test_a_net_that_learns_has_not_failed_although_its_accuracy_stands():
    """Its loss is below that of guessing: the network has learned something."""
    assert guard(start=(0.1, 2.5)).failure(lines(*[(0.1, 2.2)] * 9)) is None
    assert guard(start=(0.1, 2.5)).failure(lines(*[(0.1, 2.4)] * 4, (0.3, 2.0))) is None


def test_a_loss_that_rises_from_where_recovery_began_fails():
    rising = lines(*[(0.3 - n / 100, 2 + n / 10) for n in range(5)])
    assert "above that at the start of recovery (2.4 against 1.6)" in guard().failure(rising)


def test_a_loss_that_falls_from_the_first_round_on_is_no_failure():
    """Recovery from the intact model: the loss stays above the start's, but falls."""
    falling = lines(*[(0.8 + n / 200, 0.7 - n / 100) for n in range(5)])
    assert guard(start=(0.95, 0.2)).failure(falling) is None
    assert guard(start=(0.95, 0.2)).failure(falling[::-1]) is not None


@pytest.mark.parametrize(
    "curve",
    [
        [(0.3, 2.5 - n / 10) for n in range(9)],  # above the start, but it falls
        [
            (0.38, 1.7 + n / 10) for n in range(9)
        ],  # accuracy is unchanged: overconfident, not ruined
        [(0.3, 1.5)] * 9,  # a lower loss than at the start
        [(0.2, 3.0)] * 4,
    ],
)  # not long enough
def test_what_is_no_failure(curve):
    assert guard().failure(lines(*curve)) is None


def test_an_intact_start_may_lie_below_for_good():
    """Ablation starts from the intact model and stays slightly worse in every round."""
    found = guard(start=(0.97, 0.1))
    assert found.failure(lines(*[(0.95, 0.3)] * 10)) is None


def test_rounds_before_the_method_was_done_do_not_count():
    found = guard(start=(0.97, 0.1))
    rising = lines(*[(0.8, 0.5 + n / 100) for n in range(5)])
    assert found.failure(rising) is not None
    found.restart(lines((0.5, 3.0))[0])
    assert found.failure(rising) is None


def test_weights_that_are_not_finite_fail():
    assert guard().failure([dict(remain_accuracy=0.1, remain_loss=None)] * 5) is not None
    assert guard().failure_at_end(dict(remain_accuracy=0.1, remain_loss=None)) is not None


def test_the_end_counts_by_itself():
    assert guard().failure_at_end(lines((0.12, 4.0))[0]) is not None
    assert guard().failure_at_end(lines((0.13, 4.0))[0]) is None


def test_where_the_model_before_knew_nothing_nothing_is_a_failure():
    found = guard(before=lines((0.1, 2.31))[0])
    assert found.failure(lines(*[(0.1, 2.34)] * 9)) is None
    hardly = guard(before=lines((0.11, 2.0))[0])  # a loss of 0.87 H: it answers one class
    assert hardly.untrained and hardly.failure_at_end(lines((0.1, 2.34))[0]) is None
    assert not guard(before=lines((0.11, 1.8))[0]).untrained  # 0.78 H
    one_class = RecoveryGuard(np.zeros(9, int), BEFORE, BEFORE)
    assert not one_class.untrained
    assert one_class.failure(lines(*[(1.0, 3.0)] * 9)) is None


def test_chance_and_entropy_of_uneven_classes():
    found = RecoveryGuard(np.array([0, 0, 0, 1]), BEFORE, BEFORE)
    assert found.chance == 0.75
    assert found.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def measured(test, remain, stay=None):
    return dict(test_accuracy=test, remain_accuracy=remain, remain_test_accuracy=stay)


def test_damage_by_hand():
    before, retrained = measured(0.96, 0.98), measured(0.95, 0.97)
    assert damage(before, measured(0.91, 0.98), retrained) is None
    said = damage(before, measured(0.89, 0.98), retrained)
    assert said == "accuracy on test data is 0.890; before 0.960, retrained 0.950"
    assert "remaining data is 0.900" in damage(before, measured(0.95, 0.90), None)
    # retraining loses it too: not damaged by the method
    assert damage(before, measured(0.80, 0.98), measured(0.82, 0.97)) is None


def test_damage_where_classes_go_is_measured_on_those_that_stay():
    before = measured(0.96, 0.98, 0.96)
    assert damage(before, measured(0.86, 0.98, 0.955), None) is None
    assert "classes that stay is 0.890" in damage(before, measured(0.80, 0.98, 0.89), None)


def test_a_forget_set_that_is_still_remembered_is_told():
    def forget(value):
        return dict(forget_accuracy=value)

    said = remembered(forget(0.95), forget(0.95), forget(0.0))
    assert said.startswith("accuracy on the forget set is 0.950; before 0.950, retrained 0.000")
    assert remembered(forget(0.95), forget(0.4), forget(0.0)) is None
    assert remembered(forget(0.95), forget(0.95), forget(0.9)) is None  # it does not show
    assert remembered(forget(0.0), forget(0.1), forget(0.9)) is not None  # poisoned examples
    assert remembered(forget(0.9), forget(0.1), forget(0.5)) is None  # too much, not too little
    assert remembered(forget(0.95), forget(0.95), None) is None
    assert remembered(forget(None), forget(0.95), forget(0.0)) is None
