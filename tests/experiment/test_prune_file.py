"""Pruning of a model file."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.datasets import load
from tfunlearn.evaluation import OutputsOf, accuracy
from tfunlearn.models import build_model
from tfunlearn.models.saved import load_model
from tfunlearn.pruning import prune_filters, prune_pairs
from tfunlearn.workflows.prune import prune

layers = tf.keras.layers


@pytest.fixture
def saved(tmp_path):
    model = build_model("lenet5", (28, 28, 1), 10, seed=5)
    model.save(tmp_path / "net.keras")
    return tmp_path / "net.keras", model


def test_it_is_filters_then_pairs_as_often_as_asked(saved, tmp_path):
    path, model = saved
    result = prune(path, out=tmp_path / "out.keras", filters=0.2, pairs=0.05, repeat=2, limit=1.0)
    removed = {}
    for _ in range(2):
        for name, record in (prune_filters(model, 0.2) | prune_pairs(model, 0.05)).items():
            gone = record.pruned if hasattr(record, "pruned") else record.removed
            removed[name] = removed.get(name, ()) + gone
    assert {row.layer: row.pruned for row in result.layers} == removed
    for ours, theirs in zip(
        load_model(tmp_path / "out.keras").get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_bounds_hold(saved, tmp_path, rng):
    path, model = saved
    images = rng.random((200, 28, 28, 1), np.float32)
    before = model(images).numpy()
    result = prune(path, out=tmp_path / "out.h5", filters=0.1, pairs=0.1, repeat=3, bounds=True)
    change = np.abs(result.model(images).numpy() - before).max()
    bounds = {row.layer: row.bound for row in result.layers}
    assert bounds.pop("logits") is None and all(bound > 0 for bound in bounds.values())
    assert 0 < change <= sum(bounds.values())
    only = prune(path, out=tmp_path / "only.keras", filters=0, layers=["dense_2"], bounds=True)
    change = np.abs(only.model(images).numpy() - before).max()
    (row,) = [row for row in only.layers if row.pruned]
    assert row.layer == "dense_2" and change <= row.bound


def test_accuracy_before_and_after(saved, tmp_path):
    path, model = saved
    data = load("digits")
    result = prune(path, out=tmp_path / "out.keras", dataset="digits", pairs=0.3)
    for net, share in ((model, result.accuracy_before), (result.model, result.accuracy_after)):
        predictions = OutputsOf(net)(data.test_features).argmax(axis=1)
        assert share == accuracy(predictions, data.test_labels)


def test_a_layer_that_bounds_cannot_pass_is_named_and_pruned_by_saliency(tmp_path):
    model = tf.keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, name="first"),
            layers.Activation("exponential"),
            layers.Dense(2),
        ]
    )
    model.save(tmp_path / "net.keras")
    with pytest.warns(
        UserWarning,
        match="pairs of 'first' are chosen by saliency: no bounds pass layer 'activation[_0-9]*'",
    ):
        result = prune(tmp_path / "net.keras", out=tmp_path / "out.keras", bounds=True)
    assert "no bounds pass layer" in result.unbounded
    assert result.layers[0].bound is None and len(result.layers[0].pruned) == 1
    assert result.layers[0].score == "saliency"
    plain = prune(tmp_path / "net.keras", out=tmp_path / "plain.keras", score="saliency")
    assert plain.unbounded is None and plain.layers[0].pruned == result.layers[0].pruned


@pytest.mark.parametrize(
    "name, units",
    [
        ("lenet5_emnist_098.h5", {"conv2d": 1, "conv2d_1": 1, "dense": 2, "dense_1": 1}),
        ("resnet18.h5", {"conv2d": 1, "Conv2D_stack0_res0_l0": 1, "Conv2D_stack2_res2_l1": 1}),
    ],
)
def test_nets_made_by_others_as_they_are(shared_models, tmp_path, name, units):
    result = prune(shared_models / name, out=tmp_path / "out.keras")
    pruned = {row.layer: len(row.pruned) for row in result.layers if row.pruned}
    assert units.items() <= pruned.items()
    assert result.layers[-1].skipped == "output layer"
    before = load_model(shared_models / name)
    assert [w.shape for w in before.get_weights()] == [
        w.shape for w in load_model(tmp_path / "out.keras").get_weights()
    ]
