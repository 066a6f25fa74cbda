"""Shared parts of the models: Keras settings, seeded initializers, normalization."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tfunlearn.core.errors import choose
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import integers

CHANNELS_PER_GROUP = 16


@contextlib.contextmanager
def plain_keras() -> Iterator[None]:
    """Build layers with channels last and in float32, regardless of global Keras settings.

    Used as a decorator of every function that builds a model; the previous settings (from
    keras.json or a notebook) are restored afterwards.
    """
    backend, precision = tf.keras.backend, tf.keras.mixed_precision
    kept = backend.image_data_format(), backend.floatx(), precision.global_policy()
    backend.set_image_data_format("channels_last")
    backend.set_floatx("float32")
    precision.set_global_policy("float32")
    try:
        yield
    finally:
        backend.set_image_data_format(kept[0])
        backend.set_floatx(kept[1])
        precision.set_global_policy(kept[2])


class Initializers:
    """Initializers with a separate seed for each layer of a model, in order of the calls."""

    def __init__(self, seed: int):
        self._seed = seed
        self._asked = 0

    def he_normal(self):
        return tf.keras.initializers.HeNormal(seed=self._next())

    def glorot_uniform(self):
        return tf.keras.initializers.GlorotUniform(seed=self._next())

    def uniform(self):
        return tf.keras.initializers.RandomUniform(-0.05, 0.05, seed=self._next())

    def _next(self) -> int:
        self._asked += 1
        return int(integers(self._seed, "initial weights", self._asked)[0])


def _batch(name: str, channels: int):
    del channels
    return tf.keras.layers.BatchNormalization(name=name)


def _group(name: str, channels: int):
    groups = max(1, channels // CHANNELS_PER_GROUP)
    return tf.keras.layers.GroupNormalization(groups=groups, name=name)


NORMS = {"batch": _batch, "group": _group}


def norm_layer(norm: str, name: str, channels: int) -> tf.keras.layers.Layer:
    """Return the normalization layer after a convolution with `channels` channels.

    Args:
        norm: `"batch"`, or `"group"` with 16 channels per group (at least one group).
        name: name of the layer.
        channels: number of channels of the convolution.
    """
    return choose("norm", norm, NORMS)(name, channels)
