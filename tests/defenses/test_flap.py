"""FLAP on lists of weights and inside TensorFlow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfunlearn.core.schedules import every
from tfunlearn.defenses import Flap
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_filters, prune_pairs


def test_it_is_filters_then_pairs_at_the_rounds_due():
    model = build_model("lenet5", (28, 28, 1), 10)
    weights, flap = model.get_weights(), Flap(model)
    assert [r for r in range(1, 31) if flap(r, weights)[1]] == [1, 6, 11, 16, 21, 26]
    pruned, records = flap(6, weights)
    expected = {**prune_filters(model), **prune_pairs(model, score="saliency")}
    agree(records, expected)
    assert [len(records[n].pruned) for n in ("conv_1", "conv_2")] == [1, 1]
    assert [len(records[n].removed) for n in ("dense_1", "dense_2", "logits")] == [2, 1, 0]
    for a, b in zip(pruned, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def agree(left, right):
    assert list(left) == list(right)
    for a, b in zip(left.values(), right.values()):
        if hasattr(a, "candidates"):
            assert [(p.kept, p.removed) for p in a.candidates] == [
                (p.kept, p.removed) for p in b.candidates]
            np.testing.assert_allclose([p.saliency for p in a.candidates],
                                       [p.saliency for p in b.candidates], rtol=1e-9)
        else:
            assert (a.pruned, a.zeroed, a.skipped) == (b.pruned, b.zeroed, b.skipped)


def test_tensors_and_records_agree_with_arrays():
    model = build_model("resnet18-flap", (28, 28, 1), 10)
    flap = Flap(model, fraction=0.05, due=every(3, start=2), include_residual=False)
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
