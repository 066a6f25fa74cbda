"""When recovery after pruning is over: the three stop rules, on a curve of accuracies.

Deviation: FedUP's rules speak of a retained validation set and of benign accuracy. The accuracies
here are on the remaining clients' own training data, which a federation can measure by itself; what
attackers among them have poisoned counts too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

STOPS = ("bound", "plateau", "target", "rounds")
PATIENCE, LEAST_GAIN, MARGIN = 2, 0.002, 0.01
NOISE = 1e-9  # of a difference of two shares


def bound_rounds(retraining_rounds: int, fraction: float) -> int:
    """Returns `max(1, ceil(retraining_rounds * fraction))`, the bound that FedUP's paper gives."""
    return max(1, math.ceil(round(retraining_rounds * fraction, 6)))


def plateau_round(accuracies: Sequence[float]) -> int | None:
    """Returns the round at which accuracy has not risen by 0.2 points for 2 rounds, or None.

    Args:
        accuracies: before recovery, then after each round.
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
    """Returns the first round that is within 1 point of the accuracy before unlearning, or None.

    Args:
        accuracies: before recovery, then after each round; 0 means that none is needed.
        before: of the model that was to be unlearned.
    """
    for number, value in enumerate(accuracies):
        if value >= before - MARGIN - NOISE:
            return number
    return None


def is_over(stop: str, accuracies: Sequence[float], before: float) -> bool:
    """Tells whether a stop rule that looks at accuracies ends the recovery at the last of them."""
    if stop == "plateau":
        return plateau_round(accuracies) is not None
    return stop == "target" and target_round(accuracies[-1:], before) is not None
