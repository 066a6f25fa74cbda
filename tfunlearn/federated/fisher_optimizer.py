"""Diagonal quasi-Newton optimizer that uses the empirical Fisher information as curvature."""

from __future__ import annotations

import collections

from tfunlearn.core.lazy import tf, tff

DAMPING = 1e-2


def diagonal_fisher(
    lr: float,
    *,
    first: float = 0.9,
    second: float = 0.999,
    damping: float = DAMPING,
) -> tff.learning.optimizers.Optimizer:
    """Return a TFF optimizer that divides momentum by the running RMS of the squared gradient.

        m = first * m + (1 - first) * g            g the gradient of the batch
        v = second * v + (1 - second) * (g^2)^2    g^2 the diagonal of the Fisher information
        w = w - lr * (m / (1 - first^t)) / (sqrt(v / (1 - second^t)) + damping)

    It differs from Adam, in which v averages g^2 instead of (g^2)^2: here steps grow as 1 / |g|
    until the damping limits them.

    Args:
        lr: learning rate, > 0; 0.001 in the paper.
        first: decay rate of the momentum; default 0.9, as in the paper.
        second: decay rate of the curvature; default 0.999, as in the paper.
        damping: added to the square root of the curvature; default 0.01, chosen here: with the
            usual 1e-8, weights with small gradients take huge steps.

    Reference:
        Liu et al., "The Right to be Forgotten in Federated Learning: An Efficient Realization with
        Rapid Retraining" (IEEE INFOCOM 2022, arXiv 2203.07320).
        Deviation: the paper's exact momentum was not available; the Fisher information is computed
        from the mean gradient of the batch, not as the mean over its examples.
    """

    class DiagonalFisher(tff.learning.optimizers.Optimizer):
        def initialize(self, specs):
            zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
            return collections.OrderedDict(steps=tf.constant(0.0), momentum=zeros, curvature=zeros)

        def next(self, state, weights, gradients):
            steps = state["steps"] + 1.0
            momentum = tf.nest.map_structure(
                lambda m, g: first * m + (1 - first) * g, state["momentum"], gradients
            )
            curvature = tf.nest.map_structure(
                lambda v, g: second * v + (1 - second) * tf.square(tf.square(g)),
                state["curvature"],
                gradients,
            )
            moved = tf.nest.map_structure(
                lambda w, m, v: (
                    w - lr * (m / (1 - first**steps)) / (tf.sqrt(v / (1 - second**steps)) + damping)
                ),
                weights,
                momentum,
                curvature,
            )
            return collections.OrderedDict(
                steps=steps, momentum=momentum, curvature=curvature
            ), moved

    return DiagonalFisher()
