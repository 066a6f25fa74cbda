"""Selection of malicious clients and poisoning of their examples."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.features import Rows, replace_rows


def poison(
    clients: ClientSet,
    malicious: np.ndarray,
    change: Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> ClientSet:
    """Return the client set with the examples of malicious clients poisoned.

    Args:
        clients: the clean client set; it is not modified.
        malicious: ids of the malicious clients.
        change: the data attack, `(client, features, labels) -> features, labels`.
    """
    features, labels = clients.features, clients.labels.copy()
    for client in malicious:
        rows = clients.rows(client)
        own = clients.features[rows]
        changed, labels[rows] = change(int(client), own, clients.labels[rows])
        if np.shares_memory(changed, own):  # label attacks keep the features
            continue
        if features is clients.features or isinstance(features, Rows):
            features = replace_rows(features, rows, changed)
        else:  # a copy already
            features[rows] = changed
    return ClientSet(features, labels, clients.offsets)


def require_poisoned(
    name: str,
    found: Any,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of an attack on data, which must have as many examples as its input.

    Args:
        name: the attack, for messages.
        found: its result.
        images, labels: the examples that it was called with.
        classes: number of classes C of the labels 0 to C - 1; default any.

    Raises:
        UserError: it is not a pair of images and labels of the shape and type of its input.
    """
    parts = []
    if isinstance(found, (tuple, list)):
        with contextlib.suppress(ValueError):  # a list of images of several shapes
            parts = [np.asarray(part) for part in found]
    good = (
        len(parts) == 2
        and parts[0].shape == images.shape
        and parts[0].dtype == images.dtype
        and parts[1].shape == labels.shape
        and parts[1].dtype.kind in "iu"
        and bool((parts[1] >= 0).all())
        and (classes is None or bool((parts[1] < classes).all()))
    )
    if not good:
        kinds = [f"{part.dtype} {part.shape}" for part in parts]
        if len(parts) == 2 and parts[1].size and parts[1].dtype.kind in "iuf":
            kinds[1] += f" from {parts[1].min()} to {parts[1].max()}"
        most = "" if classes is None else f" to {classes - 1}"
        raise UserError(
            f"attack: {name} must return (images, labels), {images.dtype} {images.shape} and "
            f"whole numbers {labels.shape} from 0{most}; "
            f"got {', '.join(kinds) or type(found).__name__}"
        )
    return parts[0], parts[1].astype(labels.dtype, copy=False)


def choose_malicious(clients: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted ids of `count` of `clients` clients, sampled without replacement."""
    return np.sort(rng.choice(clients, count, replace=False))
