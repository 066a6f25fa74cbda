"""The one rule for pixel ranges, shared by training and evaluation."""

from __future__ import annotations

from tfunlearn.core.lazy import tf


def to_unit_range(images):
    """Returns uint8 images as float32 in [0, 1]; float32 images as they are."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return images
