"""Local training compared with steps computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.vectors import to_vector
from tfunlearn.local_training.client_work import ClientTraining, ClientWork

layers = tf.keras.layers


def linear_model(**options):
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [layers.Input((1, 1, 2)), layers.Flatten(), layers.Dense(2, **options)]
    )


def client(images, labels, order, boost=1.0):
    return dict(
        boost=tf.constant(boost),
        id=tf.constant(0),
        features=tf.constant(images),
        labels=tf.constant(labels),
        order=tf.constant(order),
        seed=tf.constant([0, 0]),
    )


def softmax_step(kernel, bias, x, y, lr):
    """One SGD step on mean cross-entropy, with the gradient p - onehot."""
    scores = x @ kernel + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = (p - np.eye(2)[y]) / len(y)
    return kernel - lr * x.T @ error, bias - lr * error.sum(0), -np.log(p[range(len(y)), y]).mean()


IMAGES = np.array([[1, 2], [3, -1], [0, 1]], np.float32).reshape(3, 1, 1, 2)
LABELS, ORDER = np.array([0, 1, 1], np.int32), np.array([2, 0, 1, 1, 2, 0], np.int32)


@pytest.mark.parametrize("softmax", [False, True])
def test_sgd_over_two_epochs_with_a_short_last_batch(softmax):
    model = linear_model(activation="softmax" if softmax else None)
    work = ClientWork(model, ClientTraining("sgd", lr=0.5, local_epochs=2, batch_size=2))
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    losses = []
    for rows in ([2, 0], [1], [1, 2], [0]):
        kernel, bias, loss = softmax_step(
            kernel, bias, IMAGES.reshape(3, 2)[rows].astype(np.float64), LABELS[rows], 0.5
        )
        losses.append(loss)
    delta, state, finite, loss = work.update(
        tf.constant(to_vector(model.get_weights())), tf.zeros([0]), client(IMAGES, LABELS, ORDER)
    )
    expected = to_vector([kernel, bias]) - to_vector(model.get_weights())
    np.testing.assert_allclose(delta, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    assert bool(finite) and state.shape == (0,)


def test_first_adam_step_moves_every_weight_by_the_learning_rate():
    model = linear_model()
    work = ClientWork(model, ClientTraining("adam", lr=0.01, local_epochs=1, batch_size=3))
    start = to_vector(model.get_weights())
    delta, *_ = work.update(tf.constant(start), tf.zeros([0]), client(IMAGES, LABELS, ORDER[:3]))
    kernel, bias, _ = softmax_step(*model.get_weights(), IMAGES.reshape(3, 2), LABELS, 1.0)
    descent = np.sign(to_vector([kernel, bias]) - start)
    np.testing.assert_allclose(delta, 0.01 * descent, rtol=1e-3)


def test_boost_scales_the_update_but_not_the_moving_statistics(rng):
    model = tf.keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    work = ClientWork(model, ClientTraining("sgd", lr=0.1, local_epochs=1, batch_size=2))
    images = rng.integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    start = [
        tf.constant(to_vector([w.numpy() for w in weights]))
        for weights in (model.trainable_weights, model.non_trainable_weights)
    ]
    once, state_once, *_ = work.update(*start, client(images, LABELS, ORDER[:3]))
    many, state_many, *_ = work.update(*start, client(images, LABELS, ORDER[:3], boost=-5.0))
    np.testing.assert_allclose(many, -5 * once, rtol=1e-6)
    np.testing.assert_array_equal(state_many, state_once)
    assert np.abs(state_once).max() > 0


def test_a_client_that_is_not_finite_sends_zeros_and_says_so():
    model = linear_model()
    work = ClientWork(model, ClientTraining("sgd", lr=0.1, local_epochs=1, batch_size=2))
    images = IMAGES.copy()
    images[1] = np.nan
    start = tf.constant(to_vector(model.get_weights()))
    delta, _, finite, loss = work.update(start, tf.zeros([0]), client(images, LABELS, ORDER[:3]))
    assert not bool(finite) and not delta.numpy().any() and float(loss) == 0


def test_bytes_and_unit_range_images_train_alike(rng):
    model = linear_model()
    work = ClientWork(model, ClientTraining("sgd", lr=0.1, local_epochs=2, batch_size=2))
    images = rng.integers(0, 256, (3, 1, 1, 2), dtype=np.uint8)
    start = tf.constant(to_vector(model.get_weights()))
    a, *_ = work.update(start, tf.zeros([0]), client(images, LABELS, ORDER))
    scaled = images.astype(np.float32) / 255
    b, *_ = work.update(start, tf.zeros([0]), client(scaled, LABELS, ORDER))
    np.testing.assert_array_equal(a, b)
