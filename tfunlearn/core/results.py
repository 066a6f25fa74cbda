"""Results of users' functions as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError


def as_array(
    field: str, name: str, found: Any, shape: Sequence[int], *, finite: bool = False
) -> np.ndarray:
    """Return the result of a user's method as a float32 array.

    Args:
        field: configuration field that names the method, for the message.
        name: the method.
        found: its result: numbers of any real type, in an array, a tensor or nested lists.
        shape: required shape.
        finite: whether NaN and infinity are refused.

    Raises:
        UserError: it has another shape, does not consist of real numbers, or is not finite.
    """
    try:
        array = np.asarray(found)
    except Exception:  # ragged lists, or an object whose conversion fails
        got = f"{type(found).__name__}, which is not an array"
    else:
        if array.shape == tuple(shape) and array.dtype.kind in "fiub":
            with np.errstate(over="ignore"):
                array = np.asarray(array, np.float32)
            if not finite or all(np.isfinite(row).all() for row in np.atleast_2d(array)):
                return array
            raise UserError(
                f"{field}: {name} must return finite numbers; got NaN or infinity (as float32)"
            )
        got = f"{type(found).__name__} of shape {array.shape} and type {array.dtype}"
    raise UserError(
        f"{field}: {name} must return an array of shape {tuple(shape)} of real numbers; got {got}"
    )


def as_rows(field: str, name: str, found: Any, columns: int, *, finite: bool) -> np.ndarray:
    """Return the result of a user's method as a float32 array of at least one row.

    Args:
        field, name, found, finite: as for `as_array`.
        columns: required length of the rows.

    Raises:
        UserError: as for `as_array`.
    """
    shape = (len(found),) if isinstance(found, (list, tuple)) else np.shape(found)
    if not shape or not shape[0]:
        raise UserError(
            f"{field}: {name} must return an array of shape (rows, {columns}) with at least one "
            f"row; got {type(found).__name__} of shape {tuple(shape)}"
        )
    return as_array(field, name, found, (shape[0], columns), finite=finite)


def as_weights(
    field: str, name: str, found: Any, like: Sequence[np.ndarray], *, or_else: str = ""
) -> list[np.ndarray]:
    """Return the result of a user's method as weights of the shapes of other weights, float32.

    They must be finite if the other weights are.

    Args:
        field, name, found: as for `as_array`.
        like: weights of the model.
        or_else: what else may be returned, for the message.

    Raises:
        UserError: it is no list of as many arrays, or an array has another shape or type, or is not
            finite.
    """
    if not isinstance(found, (list, tuple)) or len(found) != len(like):
        got = f" of {len(found)}" if isinstance(found, (list, tuple)) else ""
        raise UserError(
            f"{field}: {name} must return {f'{or_else}, or ' if or_else else ''}a list of "
            f"{len(like)} arrays of the shapes of the model's weights; "
            f"got {type(found).__name__}{got}"
        )
    finite = all(np.isfinite(old).all() for old in like)  # else not the method's fault
    return [as_array(field, name, part, old.shape, finite=finite) for part, old in zip(found, like)]
