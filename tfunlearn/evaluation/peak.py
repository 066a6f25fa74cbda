"""Time to peak: what it costs to come as far as a method comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require, require_real

TOLERANCE = 0.005  # of accuracy, since the top of a curve is flat and its exact peak is noise


@dataclass(frozen=True)
class TimeToPeak:
    """When a curve comes within the tolerance of its peak.

    Attributes:
        peak: highest accuracy of the curve.
        rounds: first round that comes within the tolerance of it, counted from 1; 0 if it begins
            there.
        costs: of the rounds up to then, summed, and of what came before the first.
    """

    peak: float
    rounds: int
    costs: dict[str, float]


def time_to_peak(
    accuracies: Sequence[float], costs: Mapping[str, Sequence[float]] = {}, *,
    start: float | None = None, before: Mapping[str, float] = {}, tolerance: float = TOLERANCE,
) -> TimeToPeak:
    """Returns when a method comes within `tolerance` of its own highest accuracy.

    Args:
        accuracies: after each round, `(R,)`.
        costs: name to the cost of each round `(R,)`: seconds, client steps ...
        start: accuracy before the first round; default none, and round 1 is the first chance.
        before: costs of what a method did before its first round; default nothing.
        tolerance: default 0.005.

    Raises:
        UserError: no accuracy at all, costs of another length, or a tolerance out of range.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), time analysis. Deviation: with a tolerance, and without the seconds of
        evaluation.
    """
    require_real("tolerance", tolerance, lambda value: 0 <= value < 1, "a number >= 0 and < 1")
    values = np.asarray([*([] if start is None else [start]), *accuracies], np.float64)
    require("accuracies", len(values), len(values) > 0, "at least one")
    for name, spent in costs.items():
        require(name, len(spent), len(spent) == len(accuracies), f"{len(accuracies)} values")
    first = int(np.argmax(values >= values.max() - tolerance - 1e-12))
    rounds = first + (start is None)
    return TimeToPeak(float(values.max()), rounds, {
        name: float(np.sum(spent[:rounds])) + before.get(name, 0.0)
        for name, spent in costs.items()})
