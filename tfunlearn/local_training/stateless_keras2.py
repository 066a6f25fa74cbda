"""Stateless calls under Keras 2, which provides none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.local_training.stateless import StatelessModel, draw_seed, refuse_constraint
from tfunlearn.models.weight_names import weight_name


class StatelessKeras2(StatelessModel):
    """`StatelessModel` under Keras 2.

    During a call, every weight attribute of every layer (`layer.kernel`, ...) holds the given
    tensor instead of the variable, moving statistics record their new value, and random layers
    draw from the seed of the call.
    """

    def __init__(self, model: tf.keras.Model, *, compute_dtype: str = "float32"):
        super().__init__(model, compute_dtype=compute_dtype)
        self._random_layers: list[Any] = [
            m for m in model.submodules if "_random_generator" in vars(m)
        ]
        # Normalization keeps mean and deviation as tensors, which no graph of TFF can capture
        self._constants = [
            (layer, name, value)
            for layer in model.submodules
            for name, value in vars(layer).items()
            if tf.is_tensor(value)
            and not isinstance(value, tf.Variable)
            and hasattr(value, "numpy")
        ]

    def _run(
        self, trainable: Sequence, state: Sequence, images, training: bool, seed
    ) -> tuple[Any, list, Any]:
        moving = [_MovingStatistic(value) for value in state]
        values = dict(zip(map(id, self._trainable), trainable))
        values |= {
            id(weight): statistic
            for weight, statistic in zip(self._state, moving)
            if weight.dtype == tf.float32
        }
        with self._exchange(values, _SeededRandom(seed)):
            outputs = self.model(images, training=training)
            penalty = self._penalty()
        return outputs, [statistic.value for statistic in moving], penalty

    @contextlib.contextmanager
    def _exchange(self, values: dict, random) -> Iterator[None]:
        kept = [
            (layer, "_random_generator", layer._random_generator) for layer in self._random_layers
        ]
        for layer in self._random_layers:
            vars(layer)["_random_generator"] = random
        for layer, attribute, tensor in self._constants:
            kept.append((layer, attribute, tensor))
            vars(layer)[attribute] = tensor.numpy()
        for layer, attribute, variable in self._places:
            if id(variable) in values:  # whole numbers stay
                kept.append((layer, attribute, variable))
                vars(layer)[attribute] = values[id(variable)]
        try:
            yield
        finally:
            for layer, attribute, original in kept:
                vars(layer)[attribute] = original

    def _penalty(self):
        """Return the sum of the weight regularizers (kernel, bias, gamma, ...) of the tensors."""
        total = tf.zeros([], tf.float32)
        for layer, attribute, _ in self._places:
            regularizer = _option_of(layer, attribute, "regularizer")
            if regularizer is not None:
                total += regularizer(vars(layer)[attribute])
        return total

    def _norm_types(self) -> tuple[type, ...]:
        return (*super()._norm_types(), tf.keras.layers.experimental.SyncBatchNormalization)

    def _layers(self) -> Sequence[Any]:
        return [self.model, *self.model.submodules]

    def _check_weights(self) -> None:
        model = self.model
        self._places: list[tuple[Any, str, Any]] = [
            (layer, name, value)
            for layer in model.submodules
            for name, value in vars(layer).items()
            if isinstance(value, tf.Variable) and any(value is weight for weight in model.weights)
        ]
        found = {id(variable) for _, _, variable in self._places}
        for weight in model.weights:
            if id(weight) not in found:
                raise UserError(
                    f"model: weight {weight_name(weight)} is no attribute of its layer, so it "
                    "cannot be exchanged; keep it as `self.<name>` of the layer"
                )
        for layer, name, _ in self._places:
            if _option_of(layer, name, "constraint") is not None:
                refuse_constraint(layer.name, name)


def _option_of(layer, attribute: str, kind: str):
    """Return the regularizer or constraint of a weight, or None.

    That of `depthwise_kernel` is the attribute `depthwise_<kind>`.
    """
    own = getattr(layer, f"{attribute}_{kind}", None)
    return own or getattr(layer, f"{attribute.removesuffix('_kernel')}_{kind}", None)


class _MovingStatistic:
    """A non-trainable weight whose assignments replace its tensor, without a side effect."""

    def __init__(self, value):
        self.value = value

    dtype = property(lambda self: self.value.dtype)
    shape = property(lambda self: self.value.shape)

    def assign(self, value, **_):
        self.value = tf.cast(value, self.value.dtype)
        return self.value

    def assign_add(self, delta, **_):
        return self.assign(self.value + delta)

    def assign_sub(self, delta, **_):
        return self.assign(self.value - delta)

    def __tf_tensor__(self, dtype=None, name=None):
        return self.value if dtype is None else tf.cast(self.value, dtype)

    def __add__(self, other):
        return self.value + other

    def __sub__(self, other):
        return self.value - other

    def __mul__(self, other):
        return self.value * other

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return other - self.value


class _SeededRandom:
    """Duck type of Keras's `RandomGenerator`; the k-th draw of a call depends only on the seed.

    Keras's own generators keep a state, which clients that train concurrently would share.
    """

    def __init__(self, seed):
        self._seed = seed
        self._draws = 0

    def make_seed_for_stateless_op(self):
        self._draws += 1
        return draw_seed(self._seed, self._draws)

    def random_uniform(self, shape, minval=0.0, maxval=None, dtype=None, nonce=None):
        return tf.random.stateless_uniform(
            shape,
            self.make_seed_for_stateless_op(),
            minval,
            1.0 if maxval is None else maxval,
            dtype or tf.float32,
        )

    def random_normal(self, shape, mean=0.0, stddev=1.0, dtype=None, nonce=None):
        return tf.random.stateless_normal(
            shape, self.make_seed_for_stateless_op(), mean, stddev, dtype or tf.float32
        )

    def dropout(self, inputs, rate, noise_shape=None):
        return tf.nn.experimental.stateless_dropout(
            inputs, rate, self.make_seed_for_stateless_op(), noise_shape=noise_shape
        )
