"""Activation functions for interval arithmetic: function, slope range and turning point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.pruning.layer_types import kind_of

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@dataclass(frozen=True)
class Shape:
    """A scalar function for interval arithmetic.

    Attributes:
        function: the function, applied elementwise to arrays.
        slopes: smallest and largest slope anywhere.
        turn: point where it stops falling and starts rising; None if it never falls.
    """

    function: Callable[[np.ndarray], np.ndarray]
    slopes: tuple[float, float]
    turn: float | None = None


def relu(negative_slope: float = 0.0, most: float | None = None) -> Shape:
    """Return `min(x, most)` for x > 0 and `negative_slope * x` below; `negative_slope` >= 0."""

    def function(x):
        above = np.maximum(x, 0) if most is None else np.clip(x, 0, most)
        return above + negative_slope * np.minimum(x, 0) if negative_slope else above

    least = 0.0 if most is not None else min(negative_slope, 1.0)
    return Shape(function, (least, max(negative_slope, 1.0)))


def elu(alpha: float = 1.0) -> Shape:
    """Return the exponential linear unit with `alpha` >= 0."""
    return Shape(
        lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), (0.0, max(1.0, alpha))
    )


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu(x):
    from scipy.special import ndtr

    return x * ndtr(x)


_SILU = Shape(lambda x: x * _sigmoid(x), (-0.0999, 1.0999), turn=-1.2784645427610738)
IDENTITY = Shape(lambda x: x, (1.0, 1.0))

SHAPES = {
    "linear": IDENTITY,
    "relu": relu(),
    "relu6": relu(most=6.0),
    "leaky_relu": relu(0.2),
    "elu": elu(),
    "selu": Shape(
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        (0.0, SELU_SCALE * SELU_ALPHA),
    ),
    "sigmoid": Shape(_sigmoid, (0.0, 0.25)),
    "tanh": Shape(np.tanh, (0.0, 1.0)),
    "softplus": Shape(lambda x: np.logaddexp(x, 0), (0.0, 1.0)),
    "softsign": Shape(lambda x: x / (1 + np.abs(x)), (0.0, 1.0)),
    "silu": _SILU,
    "swish": _SILU,
    "gelu": Shape(_gelu, (-0.1290, 1.1290), turn=-0.7517915246935645),
}


SOFTMAXES = ("softmax", "log_softmax", "softmax_v2", "log_softmax_v2")
MIXERS = (*SOFTMAXES, "sparsemax", "glu")


def shape_of(activation: Callable | None) -> Shape | None:
    """Return the shape of a Keras or TensorFlow activation function; None if unknown."""
    return IDENTITY if activation is None else SHAPES.get(name_of(activation))


def mixes_units(activation) -> bool:
    """Return whether an activation makes every unit depend on the others, as softmax does."""
    return name_of(activation) in MIXERS or kind_of(activation) == "Softmax"


def name_of(activation) -> str:
    """Return the name of a Keras or TensorFlow activation function; empty for any other function.

    Functions in Keras 3's `keras.ops` are excluded: they have the same names, but other defaults.
    """
    home = getattr(activation, "__module__", None) or ""
    known = home.startswith("tensorflow.") or (
        home.startswith(("keras.", "tf_keras.")) and ".activations" in home
    )
    return getattr(activation, "__name__", "") if known else ""
