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


def shared_and_nested():
    """A model with a shared layer, a nested model with a norm and Dropout, and two regularizers."""
    block = tf.keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(4, kernel_regularizer=tf.keras.regularizers.L2(0.5)),
            layers.BatchNormalization(momentum=0.9),
            layers.Dropout(0.5),
        ]
    )
    twice = layers.Dense(4, use_bias=False, kernel_regularizer=tf.keras.regularizers.L1(0.25))
    x = layers.Input((4,))
    return tf.keras.Model(x, layers.Dense(2)(block(twice(twice(x)))))


def test_shared_and_nested_layers_regularizers_and_norm_modes(rng):
    model = shared_and_nested()
    stateless, x = stateless_model(model), tf.constant(rng.random((6, 4), np.float32))
    weights = tensors(model.trainable_weights), tensors(model.non_trainable_weights)
    assert len(weights[0]) == 7 and len(weights[1]) == 2  # a shared layer counts once
    _, state, penalty = stateless.call(*weights, x, training=True, seed=SEED)
    kernels = [w for w in model.get_weights() if w.shape == (4, 4)]
    squares, sizes = [float((w**2).sum()) for w in kernels], [float(abs(w).sum()) for w in kernels]
    by_hand = {0.5 * squares[0] + 0.25 * sizes[1], 0.5 * squares[1] + 0.25 * sizes[0]}
    assert any(float(penalty) == pytest.approx(value, rel=1e-5) for value in by_hand)
    assert not np.allclose(state[0], weights[1][0])  # the moving mean has moved, by a tenth
    # inference mode of the norm, while Dropout still draws
    fixed, same, _ = stateless.call(*weights, x, training=True, seed=SEED, fixed_norms=True)
    for new, old in zip(same, weights[1]):
        np.testing.assert_array_equal(new, old)
    plain, _, _ = stateless.call(*weights, x, training=False, seed=SEED)
    np.testing.assert_allclose(plain, model(x, training=False), rtol=1e-5)
    assert not np.allclose(fixed, plain)
    again, _, _ = stateless.call(*weights, x, training=True, seed=SEED, fixed_norms=True)
    np.testing.assert_array_equal(fixed, again)
    assert all(layer.trainable for layer in model.layers)


def test_the_moving_mean_by_hand(rng):
    """0.9 times the old one plus a tenth of the mean of the batch, whatever Keras it is."""
    model = tf.keras.Sequential([layers.Input((3,)), layers.BatchNormalization(momentum=0.9)])
    x = rng.random((5, 3), np.float32)
    weights = tensors(model.trainable_weights), [tf.constant([1.0, 2.0, 3.0]), tf.ones(3)]
    _, (mean, variance), _ = stateless_model(model).call(*weights, x, training=True, seed=SEED)
    np.testing.assert_allclose(mean, 0.9 * np.array([1, 2, 3]) + 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(0), rtol=1e-4)  # 2-D: no n / (n - 1)


def test_dropout_draws_by_its_place_in_the_model_and_the_seed_of_the_call(rng):
    """The same masks under both Keras: the k-th random layer draws with seed + (0, 7919 k)."""
    model = tf.keras.Sequential([layers.Input((50,)), layers.Dropout(0.5), layers.Dropout(0.25)])
    x = np.ones((3, 50), np.float32)
    found = stateless_model(model).call([], [], x, training=True, seed=tf.constant([5, 6]))[0]
    expected = tf.constant(x)
    for rate, seed in ((0.5, [5, 6 + 7919]), (0.25, [5, 6 + 2 * 7919])):
        expected = tf.nn.experimental.stateless_dropout(expected, rate, seed)
    np.testing.assert_array_equal(found, expected)


def test_a_model_for_bytes_is_refused():
    pixels = layers.Input((4,), dtype="uint8")
    model = tf.keras.Model(pixels, layers.Dense(2)(layers.Rescaling(1.0)(pixels)))
    with pytest.raises(UserError, match="must take float32 input, or int32 .token ids.; got uint8"):
        stateless_model(model)
