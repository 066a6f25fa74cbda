"""Perturbation data: the forget set with random wrong labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.labels import require_labels


def wrong_labels(
    labels: np.ndarray, *, classes: int, forgotten: Sequence[int] = (), rng: np.random.Generator
) -> np.ndarray:
    """Return a random wrong label for each example, int32 `(n,)`.

    All allowed classes other than the example's own are equally likely.

    Args:
        labels: `(n,)`, 0 to `classes` - 1.
        classes: number of classes.
        forgotten: classes that are forgotten entirely and never assigned; default none.
        rng: generator of the labels.

    Raises:
        UserError: no class is left to assign to some example.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation", perturbation data.
    """
    labels = require_labels(labels, classes=classes)
    allowed = np.setdiff1d(np.arange(classes), forgotten)
    places = np.searchsorted(allowed, labels)
    own = np.isin(labels, allowed)
    choices = len(allowed) - own  # without the example's own label
    require(
        "forget",
        f"{len(np.unique(forgotten))} of {classes} classes",
        bool((choices > 0).all()),
        "a request that leaves every example a wrong label among the remaining classes",
    )
    drawn = rng.integers(0, choices)
    drawn += own & (drawn >= places)
    return allowed[drawn].astype(np.int32)
