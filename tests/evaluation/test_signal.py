"""Layers without signal, under Keras 2 and 3."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfunlearn.evaluation.signal import SignalProbe, chance_level, is_constant_output
from tfunlearn.models import build_model


def test_a_layer_whose_units_are_dead_is_named_with_all_behind_it(rng):
    model = build_model("lenet5", (28, 28, 1), 10)
    probe = SignalProbe(model, rng.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8))
    assert probe() == []
    weights = model.get_weights()
    dead = [w.copy() for w in weights]
    dead[2][:] = 0  # the second convolution's kernel: a bias alone gives the same for all images
    dead[3][:] = 0.3
    model.set_weights(dead)
    assert probe() == ["conv_2", "dense_1", "dense_2", "logits"]
    one = [w.copy() for w in weights]
    one[0][..., 1:] = 0  # one live filter is enough
    model.set_weights(one)
    assert probe() == []
    model.set_weights(weights)
    assert probe() == []


def test_graphs_with_branches_and_layers_called_twice(rng):
    layers = tf.keras.layers
    inputs = tf.keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    x = layers.Add()([shared(inputs), layers.Dense(6, name="alone")(shared(inputs))])
    model = tf.keras.Model(inputs, layers.Dense(2, name="head")(x))
    probe = SignalProbe(model, rng.random((10, 6), np.float32))
    assert probe() == []
    model.get_layer("alone").set_weights([np.zeros((6, 6)), np.ones(6)])
    assert probe() == ["alone"]


def test_what_counts_as_constant():
    assert is_constant_output(np.ones((3, 4)))
    assert is_constant_output(np.array([[1.0], [np.nan]]))
    assert is_constant_output(1e4 + np.array([[0.0], [1e-3]]))  # rounding
    assert not is_constant_output(np.array([[1.0, 2.0], [1.0, 2.1]]))


def test_chance_is_the_most_frequent_class():
    assert chance_level(np.array([0, 1, 1, 2])) == 0.5
