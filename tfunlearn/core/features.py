"""Features of examples: one array, or several named inputs as one structured array.

Kinds of features, by dtype and shape:

    uint8    `(N, height, width, channels)`  images, divided by 255 where a model reads them
    int32    `(N, ...)`                      token ids and other whole numbers, as they are
    float32  `(N, ...)`                      measurements, as they are
    structured `(N,)`                        several inputs; each field is one of the above
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf

KEY = "features"  # key of a client's features; those of an input `name` are at `features_name`


class Rows:
    """Rows of an array on disk, in another order, read when they are indexed.

    It stands for an array `(n, ...)` where a copy would not fit into memory. Indexing reads and
    returns an ordinary array.

    Args:
        base: the array, usually memory-mapped, `(N, ...)`.
        index: row of `base` of each row, `(n,)`.
        changed: number in `replaced` of each row, -1 for rows of `base`, `(n,)`; default all -1.
        replaced: rows that replace rows of `base`, `(m, ...)`.
    """

    def __init__(
        self,
        base: np.ndarray,
        index: np.ndarray,
        changed: np.ndarray | None = None,
        replaced: np.ndarray | None = None,
    ):
        self._base, self._index = base, index
        self._changed, self._replaced = changed, replaced

    dtype = property(lambda self: self._base.dtype)
    shape = property(lambda self: (len(self._index), *self._base.shape[1:]))
    ndim = property(lambda self: self._base.ndim)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows) -> np.ndarray:
        index = self._index[rows]
        found = np.array(self._base[index])
        if self._changed is not None and self._replaced is not None:
            changed = self._changed[rows]
            if np.ndim(index) == 0:
                return self._replaced[changed] if changed >= 0 else found
            found[changed >= 0] = self._replaced[changed[changed >= 0]]
        return found

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def take(self, rows: np.ndarray) -> Rows:
        """Return the selected rows (a mask or indices) without reading them."""
        changed = None if self._changed is None else self._changed[rows]
        return Rows(self._base, self._index[rows], changed, self._replaced)

    def with_rows(self, rows: np.ndarray, values: np.ndarray) -> Rows:
        """Return the same rows, with those of a mask or of indices replaced by `values`."""
        before = values[:0] if self._replaced is None else self._replaced
        changed = np.full(len(self), -1) if self._changed is None else self._changed.copy()
        changed[rows] = len(before) + np.arange(len(values))
        return Rows(self._base, self._index, changed, np.concatenate([before, values]))


def take_rows(features: Any, rows: np.ndarray) -> Any:
    """Return rows (a mask or indices) of an array; those of one on disk are not read yet."""
    if isinstance(features, Rows):
        return features.take(rows)
    if isinstance(features, np.memmap):
        return Rows(features, np.arange(len(features))[rows])
    return features[rows]


def replace_rows(features: Any, rows: Any, values: np.ndarray) -> Any:
    """Return an array with some rows (a mask, indices or a slice) replaced; the input stays."""
    if isinstance(features, np.memmap):
        features = Rows(features, np.arange(len(features)))
    if isinstance(features, Rows):
        return features.with_rows(rows, values)
    new = features.copy()
    new[rows] = values
    return new


def differing_rows(one: Any, other: Any, at_once: int = 4096) -> np.ndarray:
    """Return the mask of the rows in which two arrays of one shape and type differ, bool `(N,)`."""
    if one is other:
        return np.zeros(len(one), bool)
    found = []
    for first in range(0, len(one), at_once):
        a, b = (_bytes(part[first : first + at_once]) for part in (one, other))
        found.append((a != b).any(axis=1))
    return np.concatenate(found) if found else np.zeros(0, bool)


def _bytes(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)


def pack(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return several named inputs, arrays `(N, ...)`, as one structured array `(N,)`.

    Raises:
        UserError: no inputs, or inputs of different lengths.
    """
    arrays = {str(name): np.asarray(array) for name, array in inputs.items()}
    lengths = {len(array) if array.ndim else -1 for array in arrays.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise UserError(
            "features: several inputs must be arrays with one row for each example; got "
            + (", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "none")
        )
    packed = np.empty(
        lengths.pop(),
        np.dtype([(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]),
    )
    for name, array in arrays.items():
        packed[name] = array
    return packed


def unpack(features: Any) -> Any:
    """Return features as a model or a graph takes them: an array, or a mapping of arrays."""
    names = features.dtype.names
    if names is None:
        return features
    return {name: np.ascontiguousarray(features[name]) for name in names}


def shape_of(features: Any) -> Any:
    """Return the shape of an example: a tuple, or a mapping from input to tuple."""
    if features.dtype.names is None:
        return tuple(features.shape[1:])
    return {name: features.dtype[name].shape for name in features.dtype.names}


def client_entries(features: Any) -> dict[str, Any]:
    """Return features as entries of a client, see `ClientWork`."""
    found = unpack(features)
    if not isinstance(found, dict):
        return {KEY: found}
    return {f"{KEY}_{name}": found[name] for name in sorted(found)}


def client_specs(dtype: Any, shape: tuple) -> dict[str, Any]:
    """Return the `tf.TensorSpec` of each of `client_entries`.

    Args:
        dtype: dtype of the features.
        shape: shape of an example, unless the dtype is structured.
    """
    dtype = np.dtype(dtype)
    if dtype.names is None:
        return {KEY: tf.TensorSpec([None, *shape], dtype)}
    return {
        f"{KEY}_{name}": tf.TensorSpec([None, *dtype[name].shape], dtype[name].base)
        for name in sorted(dtype.names)
    }


def features_of_client(client: Mapping[str, Any]) -> Any:
    """Return the features among the entries of a client: a tensor, or a mapping of tensors."""
    if KEY in client:
        return client[KEY]
    start = f"{KEY}_"
    return {name[len(start) :]: value for name, value in client.items() if name.startswith(start)}


def to_unit_range(features: Any) -> Any:
    """Return uint8 images as float32 in [0, 1]; other tensors, or mappings of them, as they are."""
    if isinstance(features, Mapping):
        return {name: to_unit_range(value) for name, value in features.items()}
    if features.dtype == tf.uint8:
        return tf.cast(features, tf.float32) / 255.0
    return features
