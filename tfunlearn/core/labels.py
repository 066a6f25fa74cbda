"""Class labels: the one check of every function that takes them."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import require


def require_labels(
    labels, *, classes: int | None = None, count: int | None = None, field: str = "labels",
) -> np.ndarray:
    """Returns class labels as whole numbers `(n,)`.

    Columns `(n, 1)`, as `keras.datasets.cifar10` gives them, and whole floats count as what they
    plainly mean; nothing else is guessed at.

    Args:
        labels: `(n,)` or `(n, 1)`, whole numbers from 0; arrays, lists or tensors.
        classes: number of classes C; default None, where only the lower end is checked.
        count: number of examples n that there must be; default None, any.
        field: what the labels are called in messages; default `"labels"`.

    Returns:
        `(n,)`, of the type that they came in, int64 if that was a float.

    Raises:
        UserError: another shape (one-hot rows among them), other numbers, or another count.
    """
    found = np.asarray(labels)
    span = "whole numbers from 0" if classes is None else f"whole numbers 0 to {classes - 1}"
    allowed = f"(n,) or (n, 1), {span}"
    one_hot = found.ndim == 2 and found.shape[1] > 1
    require(field, f"shape {found.shape}",
            found.ndim == 1 or (found.ndim == 2 and found.shape[1] == 1),
            allowed + ("; of one-hot rows take argmax(axis=1)" if one_hot else ""))
    found = found.reshape(-1)
    shape = np.shape(labels)
    require(field, f"{len(found)} for {count} examples", count is None or len(found) == count,
            f"{allowed}, one for each example")
    kind = found.dtype.kind
    require(field, f"shape {shape} of {found.dtype.name}", kind in "iuf" or not found.size, allowed)
    if not found.size:
        return found.astype(np.int64) if kind not in "iu" else found
    if kind == "f":
        odd = ~(np.isfinite(found) & (found == np.floor(found)))
        require(field, f"shape {shape} with {found[odd][0] if odd.any() else 0}", not odd.any(),
                allowed)
        found = found.astype(np.int64)
    low, high = int(found.min()), int(found.max())
    fits = low >= 0 and (classes is None or high < classes)
    hint = "; subtract 1 if they count from 1" if low >= 1 and high == classes else ""
    require(field, f"shape {shape} from {low} to {high}", fits, allowed + hint)
    return found
