"""Local fairness: whether unlearning weighs on all remaining clients alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require

KINDS = ("mad", "variance", "std")


@dataclass(frozen=True)
class Fairness:
    """How evenly a change is spread.

    Attributes:
        value: deviation of the clients' changes from their mean; lower is fairer.
        changes: of each client, `(n,)`.
    """

    value: float
    changes: np.ndarray


def local_fairness(
    before: Sequence[float], after: Sequence[float], *, kind: str = "mad",
    weights: Sequence[float] | None = None,
) -> Fairness:
    """Returns how far the remaining clients' changes deviate from their mean.

    Args:
        before: a metric of each remaining client before unlearning, `(n,)`: its mean loss on its
            own training data, or its accuracy there.
        after: the same afterwards.
        kind: `"mad"` (default, mean absolute deviation), `"variance"` or `"std"`.
        weights: how much each client counts; default all the same.

    Raises:
        UserError: no client, numbers that are not finite, weights that do not fit or sum to zero,
            or an unknown kind.

    Reference:
        Shao et al., "Federated Unlearning: a Perspective of Stability and Fairness" (2024, arXiv
        2402.01276), as used by Wei et al. (KDD 2026, arXiv 2605.24545), whose words say variance
        and whose code takes the mean absolute deviation.
    """
    require("kind", kind, kind in KINDS, ", ".join(KINDS))
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    require("after", after.shape, before.ndim == 1 and len(before) > 0
            and after.shape == before.shape, f"a number for each of {len(before)} clients, >= 1")
    require("after", "numbers that are not finite",
            bool(np.isfinite(before).all() and np.isfinite(after).all()), "finite numbers")
    if weights is not None:
        weights = np.asarray(weights, np.float64)
        require("weights", weights.tolist(), weights.shape == before.shape and bool(
            np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0),
            f"a finite number >= 0 for each of {len(before)} clients, of sum > 0")
    changes = after - before
    away = changes - np.average(changes, weights=weights)
    value = np.average(np.abs(away) if kind == "mad" else away**2, weights=weights)
    return Fairness(float(np.sqrt(value) if kind == "std" else value), changes)
