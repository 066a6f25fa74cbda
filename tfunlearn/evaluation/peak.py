"""Time to peak: rounds and costs until a method is close to its highest accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require, require_real

TOLERANCE = 0.005  # in accuracy; a curve is flat near its peak, whose exact position is noise


@dataclass(frozen=True)
class TimeToPeak:
    """Peak of an accuracy curve, and the rounds and costs until it is reached within a tolerance.

    Attributes:
        peak: highest accuracy of the curve.
        rounds: first round, counted from 1, whose accuracy is within the tolerance of the peak; 0
            if the accuracy before the first round is.
        costs: name to the sum of the costs up to that round, costs before the first included.
    """

    peak: float
    rounds: int
    costs: dict[str, float]


def time_to_peak(
    accuracies: Sequence[float],
    costs: Mapping[str, Sequence[float]] = {},
    *,
    start: float | None = None,
    before: Mapping[str, float] = {},
    tolerance: float = TOLERANCE,
) -> TimeToPeak:
    """Return the time until a method is within `tolerance` of its own highest accuracy.

    Args:
        accuracies: accuracy after each round, `(R,)`.
        costs: name to the cost of each round, `(R,)`: seconds, client steps, ...
        start: accuracy before the first round; default none, the curve then starts at round 1.
        before: name to the cost incurred before the first round; default 0.
        tolerance: in accuracy, >= 0 and < 1; default 0.005.

    Raises:
        UserError: no accuracy, costs of another length, or a tolerance out of range.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), time analysis. Deviation: with a tolerance, and without the time spent on
        evaluation.
    """
    require_real("tolerance", tolerance, lambda value: 0 <= value < 1, "a number >= 0 and < 1")
    values = np.asarray([*([] if start is None else [start]), *accuracies], np.float64)
    require("accuracies", len(values), len(values) > 0, "at least one")
    for name, spent in costs.items():
        require(name, len(spent), len(spent) == len(accuracies), f"{len(accuracies)} values")
    first = int(np.argmax(values >= values.max() - tolerance - 1e-12))
    rounds = first + (start is None)
    return TimeToPeak(
        float(values.max()),
        rounds,
        {
            name: float(np.sum(spent[:rounds])) + before.get(name, 0.0)
            for name, spent in costs.items()
        },
    )
