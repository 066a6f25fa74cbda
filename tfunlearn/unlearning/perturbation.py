"""Perturbation data: what is to be forgotten, under random wrong labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.labels import require_labels


def wrong_labels(
    labels: np.ndarray, *, classes: int, forgotten: Sequence[int] = (), rng: np.random.Generator
) -> np.ndarray:
    """Returns a random wrong label for each example, int32 `(n,)`.

    Every class but the example's own is equally likely.

    Args:
        labels: `(n,)`, 0 to `classes` - 1.
        classes: number of classes.
        forgotten: classes that are to be forgotten as a whole, which no example may get.
        rng: draws them.

    Raises:
        UserError: for some example no class is left.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation", perturbation data.
    """
    labels = require_labels(labels, classes=classes)
    allowed = np.setdiff1d(np.arange(classes), forgotten)
    places = np.searchsorted(allowed, labels)
    own = np.isin(labels, allowed)
    choices = len(allowed) - own  # the own label is passed over
    require("forget", f"{len(np.unique(forgotten))} of {classes} classes",
            bool((choices > 0).all()),
            "a request that leaves every example a wrong label among the classes that stay")
    drawn = rng.integers(0, choices)
    drawn += own & (drawn >= places)
    return allowed[drawn].astype(np.int32)
