"""Validation of class labels, shared by all functions that take labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfunlearn.core.errors import UserError, nearest, require


def require_labels(
    labels,
    *,
    classes: int | None = None,
    count: int | None = None,
    field: str = "labels",
) -> np.ndarray:
    """Return class labels as integers `(n,)`.

    Columns `(n, 1)`, as returned by `keras.datasets.cifar10`, and floats with integer values are
    converted; anything else is rejected.

    Args:
        labels: `(n,)` or `(n, 1)`, integers from 0; arrays, lists or tensors.
        classes: number of classes C; default None, which checks only the lower bound.
        count: required number of examples n; default None, any.
        field: name of the labels in messages; default `"labels"`.

    Returns:
        `(n,)`, of the dtype of the input, int64 if that was a float.

    Raises:
        UserError: another shape (such as one-hot rows), other values, or another count.
    """
    found = np.asarray(labels)
    span = "whole numbers from 0" if classes is None else f"whole numbers from 0 to {classes - 1}"
    allowed = f"{span}, of shape (n,) or (n, 1)"
    one_hot = found.ndim == 2 and found.shape[1] > 1
    require(
        field,
        f"shape {found.shape}",
        found.ndim == 1 or (found.ndim == 2 and found.shape[1] == 1),
        allowed + ("; of one-hot rows take argmax(axis=1)" if one_hot else ""),
    )
    found = found.reshape(-1)
    shape = np.shape(labels)
    require(
        field,
        f"{len(found)} for {count} examples",
        count is None or len(found) == count,
        f"{allowed}, one for each example",
    )
    kind = found.dtype.kind
    require(field, f"shape {shape} of {found.dtype.name}", kind in "iuf" or not found.size, allowed)
    if not found.size:
        return found.astype(np.int64) if kind not in "iu" else found
    if kind == "f":
        odd = ~(np.isfinite(found) & (found == np.floor(found)))
        require(
            field, f"shape {shape} with {found[odd][0] if odd.any() else 0}", not odd.any(), allowed
        )
        found = found.astype(np.int64)
    low, high = int(found.min()), int(found.max())
    fits = low >= 0 and (classes is None or high < classes)
    hint = "; subtract 1 if they count from 1" if low >= 1 and high == classes else ""
    require(field, f"shape {shape} from {low} to {high}", fits, allowed + hint)
    return found


def class_number(field: str, given: int | str, numbers: Mapping[str, int]) -> int:
    """Return the number of a class that is given by its name or its number.

    It is looked up as a name first, then read as a number: with labels 1 to 10, 10 is the class of
    that name, number 9.

    Args:
        field: name of the setting, for messages.
        given: a name, or a number.
        numbers: number of each class by its name.

    Raises:
        UserError: there is no such class; the nearest name is given.
    """
    if str(given) in numbers:
        return numbers[str(given)]
    plain = [str(number) for number in range(len(numbers))]
    if str(given) in plain:
        return int(given)
    names = list(numbers)
    known = (
        f"from 0 to {len(names) - 1}"
        if names == plain
        else f"one of {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}, or a number "
        f"from 0 to {len(names) - 1}"
    )
    raise UserError(
        f"{field}: must be a class of the data, {known}; got {given}"
        f"{nearest(str(given), names) if names != plain else ''}"
    )
