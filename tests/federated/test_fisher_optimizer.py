"""The diagonal Fisher optimizer compared with its formula in plain NumPy, step by step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfunlearn.federated.fisher_optimizer import diagonal_fisher


def test_three_steps_against_the_formula(rng):
    gradients = rng.normal(size=(3, 4))
    gradients[:, 3] = 0
    optimizer = diagonal_fisher(0.1, damping=0.05)
    state = optimizer.initialize(tf.TensorSpec([4], tf.float32))
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
    _, moved = first.next(
        first.initialize(tf.TensorSpec([2], tf.float32)), tf.zeros(2), tf.constant([1.0, 4.0])
    )
    np.testing.assert_allclose(moved, [-0.1 / 1.05, -0.4 / 16.05], rtol=1e-4)
