"""Pieces that several models share: Keras settings, seeded initialisers, normalisation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tfunlearn.core.errors import choose
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import integers

CHANNELS_PER_GROUP = 16


@contextlib.contextmanager
def plain_keras() -> Iterator[None]:
    """Builds layers with channels last and in float32, whatever keras.json or a notebook has set.

    A decorator of every function that makes a model; what was set before is set again.
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
    """Hands every layer of a model its own seed, in the order in which they are asked for."""

    def __init__(self, seed: int):
        self._seed = seed
        self._asked = 0

    def he_normal(self):
        return tf.keras.initializers.HeNormal(seed=self._next())

    def glorot_uniform(self):
        return tf.keras.initializers.GlorotUniform(seed=self._next())

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
    """Returns the normalisation behind a convolution of `channels` channels.

    Args:
        norm: `"batch"`, or `"group"` with 16 channels a group (at least one group).
        name: base name of the layer.
        channels: channels of the convolution.
    """
    return choose("norm", norm, NORMS)(name, channels)
