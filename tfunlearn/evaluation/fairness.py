"""Local fairness: whether unlearning affects all remaining clients equally."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require

KINDS = ("mad", "variance", "std")


@dataclass(frozen=True)
class Fairness:
    """Local fairness of an unlearned model.

    Attributes:
        value: deviation of the clients' changes from their mean; lower is fairer.
        changes: change of the metric of each client, `(n,)`.
    """

    value: float
    changes: np.ndarray


def local_fairness(
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    *,
    kind: str = "mad",
    weights: Sequence[float] | np.ndarray | None = None,
) -> Fairness:
    """Return the deviation of the remaining clients' changes from their mean.

    Args:
        before: a metric of each remaining client before unlearning, `(n,)`: the mean loss, or the
            accuracy, on the client's own training data.
        after: the same metric after unlearning, `(n,)`.
        kind: `"mad"` (default, mean absolute deviation), `"variance"` or `"std"`.
        weights: weight of each client, >= 0; default equal weights.

    Raises:
        UserError: no client, numbers that are not finite, weights that do not match the clients,
            are negative or sum to zero, or an unknown kind.

    Reference:
        Shao et al., "Federated Unlearning: a Perspective of Stability and Fairness" (2024, arXiv
        2402.01276), as used by Wei et al. (KDD 2026, arXiv 2605.24545), whose text says variance
        and whose code computes the mean absolute deviation.
    """
    require("kind", kind, kind in KINDS, ", ".join(KINDS))
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    require(
        "after",
        after.shape,
        before.ndim == 1 and len(before) > 0 and after.shape == before.shape,
        f"a number for each of {len(before)} clients, >= 1",
    )
    require(
        "after",
        "numbers that are not finite",
        bool(np.isfinite(before).all() and np.isfinite(after).all()),
        "finite numbers",
    )
    if weights is not None:
        weights = np.asarray(weights, np.float64)
        require(
            "weights",
            weights.tolist(),
            weights.shape == before.shape
            and bool(np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0),
            f"a finite number >= 0 for each of {len(before)} clients, of sum > 0",
        )
    changes = after - before
    away = changes - np.average(changes, weights=weights)
    value = np.average(np.abs(away) if kind == "mad" else away**2, weights=weights)
    return Fairness(float(np.sqrt(value) if kind == "std" else value), changes)
