"""Client optimizers as pure functions of weights, gradient and state.

The arithmetic of the first four, to the last bit, is that of `tff.learning.optimizers` (TFF 0.87).
As there, the state holds the hyperparameters as float32 tensors. Adam's step is one operation of
TensorFlow, with equal bits; gradients do not flow through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.lazy import tf

DAMPING = 1e-2
ANONYMOUS = "cd2c89b7-88b7-44c8-ad83-06c2a9158347"  # TensorFlow's name for variables without one


@dataclass(frozen=True)
class Optimizer:
    """A client optimizer.

    Attributes:
        numbers: its hyperparameters.
        slots: number of vectors in its state, each `(d,)`, zero at the start.
        step: `(weights (d,), gradient (d,), numbers, slots, number of this step from 1) -> new
            weights, new slots`, all of them float32 tensors but the number of the step.
    """

    numbers: tuple[float, ...]
    slots: int
    step: Callable[[Any, Any, tuple, tuple, Any], tuple[Any, tuple]]

    def initialize(self, size: int) -> tuple:
        """Return the state before the first step for `size` weights."""
        numbers = tuple(tf.constant(number, tf.float32) for number in self.numbers)
        return tf.constant(0), numbers, tuple(tf.zeros([size]) for _ in range(self.slots))

    def next(self, state: tuple, weights, gradient) -> tuple[tuple, Any]:
        """Return the next state and the new weights."""
        steps, numbers, slots = state
        weights, slots = self.step(weights, gradient, numbers, slots, steps + 1)
        return (steps + 1, numbers, slots), weights


def sgd(lr: float) -> Optimizer:
    """Return gradient descent: `w = w - lr * g`.

    Args:
        lr: learning rate, > 0.
    """

    def step(weights, gradient, numbers, slots, number):
        (lr,) = numbers
        return weights - lr * gradient, ()

    return Optimizer((lr,), 0, step)


def momentum(lr: float, *, decay: float = 0.9) -> Optimizer:
    """Return gradient descent with momentum.

        v = decay * v + g
        w = w - lr * v

    Args:
        lr: learning rate, > 0.
        decay: decay rate of the momentum; default 0.9.
    """

    def step(weights, gradient, numbers, slots, number):
        lr, decay = numbers
        velocity = decay * slots[0] + gradient
        return weights - lr * velocity, (velocity,)

    return Optimizer((lr, decay), 1, step)


def adam(
    lr: float, *, first: float = 0.9, second: float = 0.999, epsilon: float = 1e-7
) -> Optimizer:
    """Return Adam.

        m = m + (1 - first) * (g - m)
        v = v + (1 - second) * (g^2 - v)
        w = w - lr * sqrt(1 - second^t) / (1 - first^t) * m / (sqrt(v) + epsilon)

    Args:
        lr: learning rate, > 0.
        first: decay rate of the momentum; default 0.9.
        second: decay rate of the squared gradient; default 0.999.
        epsilon: added to the square root; default 1e-7.

    Reference:
        Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015 (arXiv 1412.6980).
    """

    def step(weights, gradient, numbers, slots, number):
        lr, first, second, epsilon = numbers
        steps = tf.cast(number, tf.float32)
        with _variables(weights, *slots) as ((var, m, v), read):
            tf.raw_ops.ResourceApplyAdam(
                var=var,
                m=m,
                v=v,
                beta1_power=tf.pow(first, steps),
                beta2_power=tf.pow(second, steps),
                lr=lr,
                beta1=first,
                beta2=second,
                epsilon=epsilon,
                grad=gradient,
            )
            weights, *moments = read()
        return weights, tuple(moments)

    return Optimizer((lr, first, second, epsilon), 2, step)


def adamw(
    lr: float,
    *,
    first: float = 0.9,
    second: float = 0.999,
    epsilon: float = 1e-7,
    decay: float = 0.004,
) -> Optimizer:
    """Return Adam with decoupled weight decay.

        w = w - lr * (sqrt(1 - second^t) / (1 - first^t) * m / (sqrt(v) + epsilon) + decay * w)

    Args:
        lr: learning rate, > 0.
        first, second, epsilon: as for `adam`.
        decay: weight decay; default 0.004.

    Reference:
        Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (arXiv 1711.05101).
    """

    def step(weights, gradient, numbers, slots, number):
        lr, first, second, epsilon, decay = numbers
        moments = _moments(gradient, slots, first, second)
        scale = tf.sqrt(_rest(second, number)) / _rest(first, number)
        direction = scale * moments[0] / (tf.sqrt(moments[1]) + epsilon)
        return weights - lr * (direction + decay * weights), moments

    return Optimizer((lr, first, second, epsilon, decay), 2, step)


def diagonal_fisher(
    lr: float,
    *,
    first: float = 0.9,
    second: float = 0.999,
    damping: float = DAMPING,
) -> Optimizer:
    """Return a quasi-Newton optimizer with the diagonal empirical Fisher information as curvature.

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

    def step(weights, gradient, numbers, slots, number):
        steps = tf.cast(number, tf.float32)
        m = first * slots[0] + (1 - first) * gradient
        v = second * slots[1] + (1 - second) * tf.square(tf.square(gradient))
        curvature = tf.sqrt(v / (1 - second**steps)) + damping
        return weights - lr * (m / (1 - first**steps)) / curvature, (m, v)

    return Optimizer((), 2, step)


OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "adam": adam,
    "adamw": adamw,
    "fisher": diagonal_fisher,
}


@contextlib.contextmanager
def _variables(*values) -> Iterator[tuple[list, Callable[[], list]]]:
    """Give TensorFlow's operations on variables, which do a whole step in one pass, variables that
    exist in the block only. (If an operation of the block fails, they stay until the process ends.)

    Args:
        *values: values of the variables, float32 `(d,)`.

    Yields:
        The variables, and a function that returns what they hold.
    """
    variables = [
        tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=value.shape, shared_name=ANONYMOUS)
        for value in values
    ]
    for variable, value in zip(variables, values):
        tf.raw_ops.AssignVariableOp(resource=variable, value=value)
    yield (
        variables,
        lambda: [tf.raw_ops.ReadVariableOp(resource=one, dtype=tf.float32) for one in variables],
    )
    for variable in variables:
        tf.raw_ops.DestroyResourceOp(resource=variable)


def _moments(gradient, slots: tuple, first, second) -> tuple:
    """Return the new averages of the gradient and of its square."""
    m, v = slots
    m = m + (gradient - m) * (1.0 - first)
    v = v + (tf.square(gradient) - v) * (1.0 - second)
    return m, v


def _rest(decay, number):
    """Return `1 - decay^number`, float32."""
    return 1.0 - tf.pow(decay, tf.cast(number, tf.float32))
