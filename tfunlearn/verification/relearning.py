"""How soon a model that has forgotten learns it again, beside one that never knew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require

ALPHA = 0.05


def relearn_time(
    accuracies: Sequence[float], original: float, *, alpha: float = ALPHA
) -> int | None:
    """Returns after how many steps accuracy is back at (1 - alpha) of the original one.

    Args:
        accuracies: on what was forgotten, before the first step, after it, and so on, `(t + 1,)`.
        original: accuracy of the model before it forgot.
        alpha: share that may be missing; default 0.05.

    Returns:
        A number of steps, 0 if nothing was missing; None if it never is back.
    """
    require("alpha", alpha, 0 <= alpha < 1, "0 <= alpha < 1")
    reached = np.flatnonzero(np.asarray(accuracies, float) >= (1 - alpha) * original - 1e-12)
    return int(reached[0]) if len(reached) else None


def anamnesis_index(unlearned: int | None, retrained: int | None) -> float | None:
    """Returns the relearn time of the unlearned model over that of the retrained one.

    About 1 is ideal; far below 1 something is left, far above 1 what was forgotten stands out. None
    if the retrained model needs no step, or never gets there: nothing can be told then. Infinite if
    the unlearned one never gets there.

    Reference:
        Chundawat et al., "Zero-Shot Machine Unlearning" (IEEE TIFS 2023, arXiv 2201.05629).
    """
    if not retrained:
        return None
    return float("inf") if unlearned is None else unlearned / retrained
