"""Threshold attack: examples with a low loss are classified as members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.verification.roc import MembershipRoc, membership_roc


@dataclass(frozen=True)
class ThresholdAttack:
    """Result of the threshold attack.

    Attributes:
        threshold: examples with a loss up to it are classified as members.
        tpr: share of members that are classified as members.
        fpr: share of non-members that are classified as members.
        roc: ROC over all thresholds.
    """

    threshold: float
    tpr: float
    fpr: float
    roc: MembershipRoc

    @property
    def advantage(self) -> float:
        """TPR - FPR at the threshold."""
        return self.tpr - self.fpr


def threshold_attack(
    members: Sequence[float] | np.ndarray,
    others: Sequence[float] | np.ndarray,
    *,
    threshold: float,
) -> ThresholdAttack:
    """Run the threshold attack on the losses of members and non-members.

    Args:
        members: losses of the examples whose membership is tested, `(m,)`.
        others: losses of examples that were never trained on, `(n,)`.
        threshold: the mean loss on the training data.

    Raises:
        UserError: no members, no non-members, a loss of NaN, or a threshold of NaN.

    Reference:
        Yeom et al., "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting"
        (CSF 2018, arXiv 1709.01604).
    """
    require("threshold", threshold, not np.isnan(threshold), "the mean training loss")
    members, others = np.asarray(members, np.float64), np.asarray(others, np.float64)
    roc = membership_roc(-members, -others)
    return ThresholdAttack(
        float(threshold),
        float(np.mean(members <= threshold)),
        float(np.mean(others <= threshold)),
        roc,
    )
