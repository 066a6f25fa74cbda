"""Pixel scaling, shared by training and evaluation."""

from __future__ import annotations

from tfunlearn.core.lazy import tf


def to_unit_range(images):
    """Return uint8 images as float32 in [0, 1]; return float32 images unchanged."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return images
