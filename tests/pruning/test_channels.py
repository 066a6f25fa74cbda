"""Which entries belong to a channel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning.channels import channel_layers, masks_of, named_layers, without_channels

layers = tf.keras.layers


def small_model():
    inputs = layers.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(2, 3, name="next")(layers.ReLU()(x))
    x = layers.Add()([x, layers.DepthwiseConv2D(1, name="deep")(x)])
    return tf.keras.Model(inputs, layers.Dense(4, name="scores")(layers.Flatten()(x)))


def names(model, entries):
    return [
        (getattr(w, "path", None) or w.name).split("/")[-1].split(":")[0]
        for w in (model.weights[entry] for entry in entries)
    ]


def test_what_a_channel_consists_of():
    model = small_model()
    plain, whole = channel_layers(model), channel_layers(model, "filter+bn")
    assert [layer.layer for layer in plain] == ["conv", "next", "scores"]
    assert [layer.channels for layer in plain] == [3, 2, 4]
    assert [names(model, layer.entries) for layer in plain] == [
        ["kernel"],
        ["kernel", "bias"],
        ["kernel", "bias"],
    ]
    assert names(model, whole[0].entries) == ["kernel", "gamma", "beta"]
    assert whole[1:] == plain[1:]


def test_masks_and_zeroing_by_hand():
    model = small_model()
    weights = [np.ones_like(w) for w in model.get_weights()]
    found, chosen = channel_layers(model, "filter+bn"), {"conv": [2], "scores": [0, 3]}
    masks = masks_of(found, chosen, [w.shape for w in weights])
    silent = without_channels(weights, found, chosen)
    marked = {"conv": 9 + 1 + 1, "next": 0, "scores": 2 * (2 * 2 * 2) + 2}
    assert sum(mask.sum() for mask in masks) == sum(marked.values())
    for mask, after in zip(masks, silent):
        np.testing.assert_array_equal(after, np.where(mask, 0, 1))
    assert masks[0][..., 2].all() and not masks[0][..., :2].any()
    assert all((w == 1).all() for w in weights)


def test_all_layers_of_the_nets():
    for name, shape, count, channels in (
        ("lenet5", (28, 28, 1), 5, 236),
        ("resnet20", (32, 32, 3), 22, 794),
        ("vgg11", (32, 32, 3), 9, 2762),
    ):
        found = channel_layers(build_model(name, shape, 10, seed=0))
        assert (len(found), sum(layer.channels for layer in found)) == (count, channels)


def test_named_layers():
    found = channel_layers(small_model())
    assert [layer.layer for layer in named_layers(found, ["scores", "conv"])] == ["conv", "scores"]
    with pytest.raises(UserError, match="no Conv or Dense layer 'score'; did you mean 'scores'"):
        named_layers(found, ["score"])
