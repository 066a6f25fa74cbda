"""How well scores tell members from others: ROC, and what so few examples can show of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require

LEVELS = (0.01, 0.001)


@dataclass(frozen=True)
class MembershipRoc:
    """What a membership attack reaches.

    Attributes:
        fpr: false-positive rates, rising from 0 to 1, `(k,)`.
        tpr: true-positive rates there, `(k,)`.
        auc: area under the curve; 0.5 is guessing.
        balanced_accuracy: the highest mean of TPR and 1 - FPR over all thresholds; 0.5 is guessing.
            It is chosen on the examples it is measured on, hence never below 0.5.
        tpr_at: false-positive rate of `LEVELS` to the highest TPR at no more than that.
        members: number of members.
        others: number of non-members.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float
    balanced_accuracy: float
    tpr_at: dict[float, float]
    members: int
    others: int

    @property
    def resolution(self) -> float:
        """The smallest false-positive rate above 0 that so many non-members can show."""
        return 1 / self.others

    def resolves(self, level: float) -> bool:
        """Tells whether there are non-members enough to measure at that false-positive rate."""
        return self.others * level >= 1 - 1e-9


def membership_roc(
    members: Sequence[float], others: Sequence[float], levels: Sequence[float] = LEVELS
) -> MembershipRoc:
    """Returns the ROC of scores, of which higher ones say member.

    Args:
        members: scores of members, `(m,)`; infinite ones are allowed, NaN is not.
        others: scores of non-members, `(n,)`.
        levels: false-positive rates of interest.

    Raises:
        UserError: an empty side, or NaN.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    members, others = (np.asarray(side, np.float64).ravel() for side in (members, others))
    for name, side in (("members", members), ("others", others)):
        require(name, f"{len(side)} scores", len(side) > 0, "at least one")
        require(name, "NaN", not np.isnan(side).any(), "scores that are numbers")
    truth = np.concatenate([np.ones(len(members), int), np.zeros(len(others), int)])
    ranks = np.unique(np.concatenate([members, others]), return_inverse=True)[1]  # inf is a rank
    fpr, tpr, _ = roc_curve(truth, ranks, drop_intermediate=False)
    return MembershipRoc(
        fpr, tpr, float(roc_auc_score(truth, ranks)), float(np.max((tpr + 1 - fpr) / 2)),
        {level: float(tpr[fpr <= level + 1e-12].max()) for level in levels},
        len(members), len(others))
