"""Relearn time of an unlearned model, compared with that of a retrained model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require

ALPHA = 0.05


def relearn_time(
    accuracies: Sequence[float], original: float, *, alpha: float = ALPHA
) -> int | None:
    """Return the number of steps until accuracy reaches (1 - alpha) of the original accuracy.

    Args:
        accuracies: accuracy on the forget set before the first step and after each step,
            `(t + 1,)`.
        original: accuracy of the model before unlearning.
        alpha: share of the original accuracy that may be missing; default 0.05.

    Returns:
        The number of steps, 0 if the accuracy is reached before the first step; None if it is
        never reached.
    """
    require("alpha", alpha, 0 <= alpha < 1, "a number >= 0 and < 1")
    reached = np.flatnonzero(np.asarray(accuracies, float) >= (1 - alpha) * original - 1e-12)
    return int(reached[0]) if len(reached) else None


def anamnesis_index(unlearned: float | None, retrained: float | None) -> float | None:
    """Return the anamnesis index: relearn time of the unlearned model / that of the retrained one.

    A value of about 1 is ideal. Far below 1, the model still remembers; far above 1, it resists
    relearning, which reveals the forget set. The index is undefined (None) if the retrained model
    needs no step or never relearns, and infinite if the unlearned model never relearns.

    Reference:
        Chundawat et al., "Zero-Shot Machine Unlearning" (IEEE TIFS 2023, arXiv 2201.05629).
    """
    if not retrained:
        return None
    return float("inf") if unlearned is None else unlearned / retrained
