"""FedOSD's steps and FedAU's heads, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.unlearning import combine_heads, orthogonal_step, train_head, without_return
from tfunlearn.unlearning.fedau import head_places

layers = tf.keras.layers


def test_the_step_is_what_the_others_leave_of_it():
    forget = np.array([3.0, 4.0, 12.0], np.float32)  # |u| = 13
    remaining = np.array([[2.0, 0.0, 0.0]], np.float32)
    step = orthogonal_step(forget, remaining)  # (0, 4, 12) stretched to 13
    np.testing.assert_allclose(step, np.array([0, 4, 12]) * 13 / np.sqrt(160), atol=1e-6)
    twice = orthogonal_step(forget, np.array([[2.0, 0, 0], [4.0, 0, 0], [0, 0, 0]], np.float32))
    np.testing.assert_allclose(twice, step, atol=1e-6)  # dependent and empty rows add nothing
    tiny = orthogonal_step(forget, np.array([[1e-6, 0, 0], [0, 5.0, 0]], np.float32))
    np.testing.assert_allclose(tiny, [0, 0, 13], atol=1e-5)  # a small client counts too
    everything = orthogonal_step(forget, np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(everything, [0, 0, 0])
    assert step.dtype == np.float32


def test_the_step_is_orthogonal_to_many_updates(rng):
    remaining = rng.normal(size=(9, 500)).astype(np.float32) * 10.0 ** rng.integers(-3, 2, (9, 1))
    remaining = remaining.astype(np.float32)
    forget = (rng.normal(size=500) + remaining[0]).astype(np.float32)
    step = orthogonal_step(forget, remaining).astype(np.float64)
    lengths = np.linalg.norm(remaining.astype(np.float64), axis=1)
    assert np.abs(remaining @ step / lengths).max() < 1e-5 * np.linalg.norm(step)
    assert np.linalg.norm(step) == pytest.approx(np.linalg.norm(forget.astype(np.float64)))
    solved = np.linalg.lstsq(remaining.T.astype(np.float64), forget.astype(np.float64), rcond=None)
    left = forget - remaining.T @ solved[0]  # what least squares cannot explain
    np.testing.assert_allclose(step / np.linalg.norm(step), left / np.linalg.norm(left), atol=1e-5)


def test_recovery_does_not_go_back():
    moved = np.array([0.0, 2.0], np.float32)
    updates = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [0.0, 7.0]], np.float32)
    got = without_return(updates, moved)
    np.testing.assert_allclose(got, [[5, 0], [1, 0], [0, 0], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(without_return(updates, np.zeros(2, np.float32)), updates)


def test_what_does_not_fit_is_refused():
    for call in (orthogonal_step, lambda v, s: without_return(s, v)):
        with pytest.raises(UserError, match="updates"):
            call(np.ones(3, np.float32), np.ones((2, 4), np.float32))
        with pytest.raises(UserError, match="updates.*not finite"):
            call(np.ones(3, np.float32), np.full((2, 3), np.inf, np.float32))
        with pytest.raises(UserError, match="updates"):
            call(np.ones(3, np.float32), np.ones((0, 3), np.float32))


def test_a_head_takes_the_steps_of_keras(rng):
    features, labels = rng.random((10, 4)).astype(np.float32), rng.integers(0, 3, 10)
    model = tf.keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    start = [w.copy() for w in model.get_weights()]
    kernel, bias = train_head(
        features,
        labels,
        tuple(start),
        lr=0.5,
        momentum=0.9,
        epochs=7,
        batch_size=10,
        rng=np.random.default_rng(0),
    )
    speeds = [np.zeros_like(w) for w in start]
    for _ in range(7):  # one whole batch an epoch, so that the order does not matter
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.keras.losses.sparse_categorical_crossentropy(
                    labels, model(features), from_logits=True
                )
            )
        for n, (speed, gradient) in enumerate(
            zip(speeds, tape.gradient(loss, model.trainable_weights))
        ):
            speeds[n] = 0.9 * speed + gradient.numpy()
            start[n] = start[n] - 0.5 * speeds[n]
        model.set_weights(start)
    np.testing.assert_allclose(kernel, start[0], atol=1e-5)
    np.testing.assert_allclose(bias, start[1], atol=1e-5)
    with pytest.raises(UserError, match="features: .*got 0"):
        train_head(features[:0], labels[:0], tuple(start), rng=rng)


def test_heads_are_combined_as_the_papers_formula_says():
    head = (np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    others = [
        (np.array([[0.0, 10.0]]), np.array([1.0, 1.0])),
        (np.array([[2.0, 20.0]]), np.array([3.0, 5.0])),
    ]
    kernel, bias = combine_heads(head, others, alpha=0.9)  # 0.1 W1 + 0.9 mean(W2)
    np.testing.assert_allclose(kernel, [[1.0, 13.7]], rtol=1e-6)
    np.testing.assert_allclose(bias, [2.1, 3.1], rtol=1e-6)
    kernel, bias = combine_heads(head, others, alpha=None)
    np.testing.assert_allclose(kernel, [[0, -13]])
    np.testing.assert_allclose(bias, [1, 1])
    with pytest.raises(UserError, match="auxiliary: .*got 0"):
        combine_heads(head, [])
    with pytest.raises(UserError, match="alpha: .*got 1.5"):
        combine_heads(head, others, alpha=1.5)


def test_the_head_is_the_last_dense_layer():
    body = [layers.Input((4,)), layers.Dense(5, name="body"), layers.Dense(3, name="head")]
    assert head_places(tf.keras.Sequential(body)) == (2, 3)
    assert head_places(tf.keras.Sequential([*body, layers.Softmax()])) == (2, 3)
    for last in (layers.Dense(3, use_bias=False), layers.Reshape((3, 1))):
        with pytest.raises(UserError, match="ends in a Dense layer with a bias"):
            head_places(tf.keras.Sequential([*body, last]))
