"""Conversion between lists of weight arrays and vectors; no other module converts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def sizes_of(shapes: Sequence[Sequence[Any]]) -> list[int]:
    """Return the number of entries of each shape."""
    return [int(np.prod(shape, dtype=np.int64)) for shape in shapes]


def to_vector(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return `arrays`, each in C order, concatenated to a float32 vector `(d,)`."""
    if not arrays:
        return np.zeros(0, np.float32)
    return np.concatenate([np.asarray(array, np.float32).reshape(-1) for array in arrays])


def from_vector(vector: np.ndarray, shapes: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    """Return `vector` split into arrays of `shapes`, as copies; the inverse of `to_vector`.

    Raises:
        ValueError: the sizes do not add up to the length of `vector`.
    """
    ends = np.cumsum(sizes_of(shapes), dtype=np.int64)
    if vector.ndim != 1 or len(vector) != (ends[-1] if len(ends) else 0):
        raise ValueError(f"vector of shape {vector.shape} does not fit shapes {list(shapes)}")
    pieces = np.split(vector, ends[:-1]) if len(ends) else []
    return [piece.reshape(shape).copy() for piece, shape in zip(pieces, shapes)]


def tensors_from_vector(vector, shapes: Sequence[Sequence[Any]]) -> list:
    """Return a TensorFlow vector split like `from_vector` does, differentiably."""
    from tfunlearn.core.lazy import tf

    if not shapes:
        return []
    pieces = tf.split(vector, sizes_of(shapes))
    return [tf.reshape(piece, shape) for piece, shape in zip(pieces, shapes)]


def vector_from_tensors(tensors: Sequence):
    """Return TensorFlow tensors concatenated like `to_vector` does, differentiably."""
    from tfunlearn.core.lazy import tf

    if not tensors:
        return tf.zeros([0], tf.float32)
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
