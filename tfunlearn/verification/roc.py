"""ROC of membership scores, and its resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require

LEVELS = (0.01, 0.001)


@dataclass(frozen=True)
class MembershipRoc:
    """Result of a membership-inference attack.

    Attributes:
        fpr: false-positive rates, increasing from 0 to 1, `(k,)`.
        tpr: true-positive rates at these false-positive rates, `(k,)`.
        auc: area under the curve; 0.5 is random guessing.
        balanced_accuracy: the highest mean of TPR and 1 - FPR over all thresholds; 0.5 is random
            guessing. The threshold is chosen on the evaluated examples, hence never below 0.5.
        tpr_at: false-positive rate of `levels` to the highest TPR at no more than that rate.
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
        """The smallest measurable false-positive rate above 0, 1 / number of non-members."""
        return 1 / self.others

    def resolves(self, level: float) -> bool:
        """Return whether there are enough non-members to measure this false-positive rate."""
        return self.others * level >= 1 - 1e-9


def membership_roc(
    members: Sequence[float] | np.ndarray,
    others: Sequence[float] | np.ndarray,
    levels: Sequence[float] | np.ndarray = LEVELS,
) -> MembershipRoc:
    """Return the ROC of membership scores; a higher score means member.

    Args:
        members: scores of members, `(m,)`; infinity is allowed, NaN is not.
        others: scores of non-members, `(n,)`.
        levels: false-positive rates at which the TPR is reported; default 0.01 and 0.001.

    Raises:
        UserError: no members, no non-members, or a score of NaN.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    members, others = (np.asarray(side, np.float64).ravel() for side in (members, others))
    for name, side in (("members", members), ("others", others)):
        require(name, f"{len(side)} scores", len(side) > 0, "at least one")
        require(name, "NaN", not np.isnan(side).any(), "scores that are numbers")
    truth = np.concatenate([np.ones(len(members), int), np.zeros(len(others), int)])
    ranks = np.unique(np.concatenate([members, others]), return_inverse=True)[1]  # handles infinity
    fpr, tpr, _ = roc_curve(truth, ranks, drop_intermediate=False)
    return MembershipRoc(
        fpr,
        tpr,
        float(roc_auc_score(truth, ranks)),
        float(np.max((tpr + 1 - fpr) / 2)),
        {level: float(tpr[fpr <= level + 1e-12].max()) for level in levels},
        len(members),
        len(others),
    )
