"""Client optimizers: their formulas in plain NumPy, and the bits of TFF's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.local_training.optimizers import (
    OPTIMIZERS,
    adam,
    adamw,
    diagonal_fisher,
    momentum,
    sgd,
)


def run(optimizer, gradients, start):
    state, weights = optimizer.initialize(len(start)), tf.constant(start, tf.float32)
    for gradient in gradients:
        state, weights = optimizer.next(state, weights, tf.constant(gradient, tf.float32))
    return weights.numpy()


def test_three_steps_against_the_formula(rng):
    gradients = rng.normal(size=(3, 4))
    gradients[:, 3] = 0
    optimizer = diagonal_fisher(0.1, damping=0.05)
    state = optimizer.initialize(4)
    weights, m, v, expected = tf.ones(4), np.zeros(4), np.zeros(4), np.ones(4)
    for t, g in enumerate(gradients, start=1):
        state, weights = optimizer.next(state, weights, tf.constant(g, tf.float32))
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g**2) ** 2
        expected -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 0.05)
        np.testing.assert_allclose(weights, expected, rtol=1e-4)
    assert weights[3] == 1  # no gradient, no step
    # the first step is lr * g / (g^2 + damping): like 1 / |g|, unlike Adam's sign
    first = diagonal_fisher(0.1, damping=0.05)
    _, moved = first.next(first.initialize(2), tf.zeros(2), tf.constant([1.0, 4.0]))
    np.testing.assert_allclose(moved, [-0.1 / 1.05, -0.4 / 16.05], rtol=1e-4)


def test_two_steps_by_hand():
    """Gradients 2 and -1 on the weight 3, learning rate 0.1."""
    gradients, start = [[2.0], [-1.0]], [3.0]
    np.testing.assert_allclose(run(sgd(0.1), gradients, start), [3 - 0.2 + 0.1], rtol=1e-6)
    # velocity 2, then 0.9 * 2 - 1 = 0.8
    np.testing.assert_allclose(run(momentum(0.1), gradients, start), [3 - 0.2 - 0.08], rtol=1e-6)
    # Adam: means 0.2 and 0.9 * 0.2 - 0.1 = 0.08, squares 0.004 and 0.999 * 0.004 + 0.001 = 0.004996
    steps = [0.1 * 0.2 / 0.1 / 2.0, 0.1 * (0.08 / 0.19) / math.sqrt(0.004996 / 0.001999)]
    np.testing.assert_allclose(run(adam(0.1), gradients, start), [3 - sum(steps)], rtol=1e-5)
    decayed = 3 - steps[0] - 0.1 * 0.004 * 3
    decayed -= steps[1] + 0.1 * 0.004 * decayed
    np.testing.assert_allclose(run(adamw(0.1), gradients, start), [decayed], rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "fisher"])
def test_twenty_steps_have_the_bits_of_tffs_own(name, rng):
    """In a graph, as in training, where TFF's hyperparameters are float32 tensors."""
    tff = pytest.importorskip("tensorflow_federated")
    own = tff.learning.optimizers
    theirs = {
        "sgd": lambda: own.build_sgdm(learning_rate=0.03),
        "momentum": lambda: own.build_sgdm(learning_rate=0.03, momentum=0.9),
        "adam": lambda: own.build_adam(learning_rate=0.03),
        "adamw": lambda: own.build_adamw(learning_rate=0.03),
    }[name]()
    ours, size = OPTIMIZERS[name](0.03), 10_007
    gradients = tf.constant(
        rng.normal(size=(20, size)) * 10.0 ** rng.integers(-6, 3, size), tf.float32
    )
    start = tf.constant(rng.normal(size=size), tf.float32)

    @tf.function(autograph=False)
    def trained(optimizer, state):
        _, _, weights = tf.while_loop(
            lambda n, *_: n < 20,
            lambda n, state, weights: (n + 1, *optimizer.next(state, weights, gradients[n])),
            (tf.constant(0), state, start),
        )
        return weights

    state = tf.nest.map_structure(
        tf.convert_to_tensor, theirs.initialize(tf.TensorSpec([size], tf.float32))
    )
    expected = trained(theirs, state).numpy()
    got = trained(ours, ours.initialize(size)).numpy()
    assert np.isfinite(expected).all() and (expected != start.numpy()).mean() > 0.9
    assert got.tobytes() == expected.tobytes()
