"""Stopping rules of the recovery after unlearning: bound, plateau and target.

Deviation: FedUP's rules use a held-out validation set and benign accuracy. The accuracies here are
on the remaining clients' own training data, which a federation can measure without other data;
examples poisoned by malicious clients among them are included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

STOPS = ("bound", "plateau", "target", "rounds")
PATIENCE, LEAST_GAIN, MARGIN = 2, 0.002, 0.01
NOISE = 1e-9  # tolerance for rounding errors in a difference of two shares


def bound_rounds(retraining_rounds: int, fraction: float) -> int:
    """Return `max(1, ceil(retraining_rounds * fraction))`, the bound of the FedUP paper."""
    return max(1, math.ceil(round(retraining_rounds * fraction, 6)))


def plateau_round(accuracies: Sequence[float]) -> int | None:
    """Return the first round at which accuracy has not improved by at least 0.2 percentage points
    for 2 rounds, or None.

    Args:
        accuracies: accuracy before recovery, then after each round.
    """
    best, still = accuracies[0], 0
    for number, value in enumerate(accuracies[1:], start=1):
        if value >= best + LEAST_GAIN - NOISE:
            best, still = value, 0
        else:
            still += 1
        if still == PATIENCE:
            return number
    return None


def target_round(accuracies: Sequence[float], before: float) -> int | None:
    """Return the first round whose accuracy is at least the one before unlearning minus 1
    percentage point, or None; 0 if no round is needed.

    Args:
        accuracies: accuracy before recovery, then after each round.
        before: accuracy of the model before unlearning.
    """
    for number, value in enumerate(accuracies):
        if value >= before - MARGIN - NOISE:
            return number
    return None


def is_over(stop: str, accuracies: Sequence[float], before: float) -> bool:
    """Return whether a stopping rule ends the recovery after the last of the accuracies; always
    False for the rules `bound` and `rounds`."""
    if stop == "plateau":
        return plateau_round(accuracies) is not None
    return stop == "target" and target_round(accuracies[-1:], before) is not None
