"""The stateless call compared with Keras's stateful one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.local_training.stateless import is_keras_3, stateless_model
from tfunlearn.models import build_model

layers = tf.keras.layers
SEED = tf.constant([1, 2])


def tensors(variables, scale=1.0):
    return [tf.constant(v.numpy() * scale) for v in variables]


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet18-flap", "vgg11"])
def test_call_equals_keras_in_training_and_inference(name, rng):
    model = build_model(name, (28, 28, 1), 10)
    stateless = stateless_model(model)
    images = rng.random((4, 28, 28, 1), np.float32)
    weights = tensors(model.trainable_weights), tensors(model.non_trainable_weights)
    before = model.get_weights()
    for training in (False, True):
        outputs, state, penalty = stateless.call(*weights, images, training=training, seed=SEED)
        for a, b in zip(before, model.get_weights()):
            np.testing.assert_array_equal(a, b)  # the call changed nothing
        np.testing.assert_allclose(outputs, model(images, training=training), rtol=1e-4, atol=1e-5)
        for new, variable in zip(state, model.non_trainable_weights):
            np.testing.assert_allclose(new, variable, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(penalty, sum(model.losses) if model.losses else 0, rtol=1e-5)
        model.set_weights(before)


def test_given_weights_are_used(rng):
    model = build_model("lenet5", (28, 28, 1), 10)
    images = rng.random((2, 28, 28, 1), np.float32)
    doubled = tensors(model.trainable_weights, 2.0)
    outputs, _, _ = stateless_model(model).call(doubled, [], images, training=False, seed=SEED)
    model.set_weights([2 * w for w in model.get_weights()])
    np.testing.assert_allclose(outputs, model(images), rtol=1e-5)


def test_random_layers_follow_the_seed(rng):
    model = tf.keras.Sequential(
        [layers.Input((50,)), layers.Dropout(0.5), layers.Dropout(0.5), layers.GaussianNoise(1.0)]
    )
    stateless, x = stateless_model(model), np.ones((4, 50), np.float32)

    def call(seed, training=True):
        return stateless.call([], [], x, training=training, seed=tf.constant(seed))[0].numpy()

    np.testing.assert_array_equal(call([1, 2]), call([1, 2]))
    assert not np.array_equal(call([1, 2]), call([2, 2]))
    np.testing.assert_array_equal(call([1, 2], training=False), x)
    single = tf.keras.Sequential([layers.Input((1000,)), layers.Dropout(0.25)])
    dropped = (
        stateless_model(single)
        .call([], [], np.ones((1, 1000), np.float32), training=True, seed=SEED)[0]
        .numpy()
    )
    assert 0.2 < (dropped == 0).mean() < 0.3 and np.allclose(dropped[dropped != 0], 1 / 0.75)


class _Hidden(layers.Layer):
    def build(self, _):
        self.held = [self.add_weight(name="inside", shape=(3,))]

    def call(self, x):
        return x * self.held[0]


@pytest.mark.parametrize(
    "layer, message",
    [
        pytest.param(
            _Hidden(),
            "no attribute of its layer",
            marks=pytest.mark.skipif(is_keras_3(), reason="Keras 3 finds it"),
        ),
        (layers.Dense(2, dtype="float64"), "is float64"),
        (layers.Dense(2, kernel_constraint="non_neg"), "kernel constraint"),
        (layers.Dense(2, activity_regularizer="l2"), "adds a loss on activations"),
    ],
)
def test_models_that_cannot_be_averaged_are_refused(layer, message):
    with pytest.raises(UserError, match=message):
        stateless_model(tf.keras.Sequential([layers.Input((3,)), layer]))
