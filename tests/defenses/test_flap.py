"""FLAP on lists of weights and inside TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.core.schedules import every
from tfunlearn.defenses import Flap
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_filters, prune_pairs


def test_it_is_filters_then_pairs_at_the_rounds_due():
    model = build_model("lenet5", (28, 28, 1), 10)
    weights, flap = model.get_weights(), Flap(model, narrow=True)
    assert [r for r in range(1, 31) if flap(r, weights)[1]] == [1, 6, 11, 16, 21, 26]
    pruned, records = flap(6, weights)
    expected = {**prune_filters(model), **prune_pairs(model)}
    agree(records, expected)
    assert {records[n].score for n in ("dense_1", "dense_2")} == {"impact"}
    assert [len(records[n].pruned) for n in ("conv_1", "conv_2")] == [1, 1]
    assert [len(records[n].removed) for n in ("dense_1", "dense_2", "logits")] == [2, 1, 0]
    for a, b in zip(pruned, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def agree(left, right):
    assert list(left) == list(right)
    for a, b in zip(left.values(), right.values()):
        if hasattr(a, "candidates"):
            assert [(p.kept, p.removed) for p in a.candidates] == [
                (p.kept, p.removed) for p in b.candidates
            ]
            np.testing.assert_allclose(
                [p.saliency for p in a.candidates], [p.saliency for p in b.candidates], rtol=1e-9
            )
        else:
            assert (a.pruned, a.zeroed, a.skipped) == (b.pruned, b.zeroed, b.skipped)
        assert a.spared == b.spared


def test_tensors_and_records_agree_with_arrays():
    model = build_model("resnet18-flap", (28, 28, 1), 10)
    flap = Flap(
        model,
        fraction=0.05,
        due=every(3, start=2),
        include_residual=False,
        score="saliency",
        progressive=True,
    )
    weights = model.get_weights()
    traced = tf.function(flap.on_tensors, autograph=False)
    for number in (1, 2, 3, 5):
        on_arrays, records = flap(number, weights)
        on_tensors, report = traced(tf.constant(number), [tf.constant(w) for w in weights])
        agree(flap.records_of(number, report), records)
        for a, b in zip(on_arrays, on_tensors):
            np.testing.assert_allclose(a, b, atol=1e-6)
        weights = on_arrays


def test_structure_and_input_are_unchanged():
    model = build_model("vgg11", (32, 32, 3), 10)
    weights = model.get_weights()
    copies = [w.copy() for w in weights]
    pruned, _ = Flap(model)(1, weights)
    for new, old, copy in zip(pruned, weights, copies):
        np.testing.assert_array_equal(old, copy)
        assert new.shape == old.shape and new.dtype == old.dtype


def rounds_of_flap(traced, **options):
    """What 40 rounds of pruning, nobody training in between, leave of LeNet-5: records by round."""
    model = build_model("lenet5", (28, 28, 1), 10)
    flap, weights, found = Flap(model, narrow=True, **options), model.get_weights(), {}
    on_tensors = tf.function(flap.on_tensors, autograph=False)
    for number in range(1, 41):
        if traced:
            weights, report = on_tensors(tf.constant(number), [tf.constant(w) for w in weights])
            weights, records = [w.numpy() for w in weights], flap.records_of(number, report)
        else:
            weights, records = flap(number, weights)
        found |= {number: records} if records else {}
    return weights, found


@pytest.mark.parametrize("traced", [False, True])
def test_literally_a_narrow_layer_loses_one_filter_in_all(traced):
    _, found = rounds_of_flap(traced)
    assert list(found) == [1, 6, 11, 16, 21, 26, 31, 36]
    assert len({records["conv_1"].pruned for records in found.values()}) == 1
    assert [records["conv_1"].zeroed for records in found.values()] == [1] * 8
    assert [records["conv_1"].spared for records in found.values()] == [0] * 8


@pytest.mark.parametrize("traced", [False, True])
def test_progressively_the_limit_stops_it_and_the_record_says_so(traced):
    """20 % of 6, 16, 120 and 84 are 1, 3, 24 and 16."""
    _, found = rounds_of_flap(traced, progressive=True, fraction=0.05)
    last = list(found.values())[-1]
    assert [records["conv_1"].spared for records in found.values()] == [0] + [1] * 7
    assert [records["conv_2"].zeroed for records in found.values()] == [1, 2, 3, 3, 3, 3, 3, 3]
    assert sum(len(records["dense_1"].removed) for records in found.values()) == 24
    assert sum(len(records["dense_2"].removed) for records in found.values()) == 16
    assert (
        last["dense_1"].spared == 6 and last["dense_2"].spared == 5 and not last["dense_1"].removed
    )


@pytest.mark.parametrize("traced", [False, True])
def test_without_a_limit_one_filter_is_left(traced):
    _, found = rounds_of_flap(traced, progressive=True, limit=1.0, pairs=False)
    assert [records["conv_1"].zeroed for records in found.values()] == [1, 2, 3, 4, 5, 5, 5, 5]
    assert "dense_1" not in found[1]


def test_pairs_alone():
    model = build_model("lenet5", (28, 28, 1), 10)
    _, records = Flap(model, filters=False)(1, model.get_weights())
    assert set(records) == {"dense_1", "dense_2", "logits"}
    with pytest.raises(UserError, match="filters and pairs"):
        Flap(model, filters=False, pairs=False)


def test_a_model_that_bounds_cannot_pass_is_pruned_by_saliency_and_says_why():
    class Own(tf.keras.layers.Layer):
        def call(self, inputs):
            return tf.sin(inputs)

    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((4, 4, 1)),
            Own(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(20, activation="relu", name="hidden"),
            tf.keras.layers.Dense(3),
        ]
    )
    flap = Flap(model)
    assert "Own" in flap.unbounded
    assert flap(1, model.get_weights())[1]["hidden"].score == "saliency"


@pytest.mark.parametrize("traced", [False, True])
def test_a_layer_of_six_filters_is_left_alone(traced):
    """One of six is 17 %, not 1 %."""
    model = build_model("lenet5", (28, 28, 1), 10)
    flap, weights = Flap(model), model.get_weights()
    if traced:
        _, report = flap.on_tensors(tf.constant(1), [tf.constant(w) for w in weights])
        records = flap.records_of(1, report)
    else:
        _, records = flap(1, weights)
    assert records["conv_1"].skipped == "narrow: one of 6 is more than a tenth"
    assert not records["conv_1"].pruned and len(records["conv_2"].pruned) == 1
