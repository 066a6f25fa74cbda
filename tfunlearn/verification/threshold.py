"""The threshold attack: whoever has a low loss was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.verification.roc import MembershipRoc, membership_roc


@dataclass(frozen=True)
class ThresholdAttack:
    """What the threshold attack reaches.

    Attributes:
        threshold: losses up to it count as member.
        tpr: share of members that do.
        fpr: share of non-members that do.
        roc: over all thresholds.
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
    members: Sequence[float], others: Sequence[float], *, threshold: float
) -> ThresholdAttack:
    """Returns what the attack reaches.

    Args:
        members: losses of the examples whose membership is asked for, `(m,)`.
        others: losses of examples that were never trained on, `(n,)`.
        threshold: the mean loss of the training data.

    Raises:
        UserError: an empty side, or a threshold that is no number.

    Reference:
        Yeom et al., "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting"
        (CSF 2018, arXiv 1709.01604).
    """
    require("threshold", threshold, not np.isnan(threshold), "the mean training loss")
    members, others = np.asarray(members, np.float64), np.asarray(others, np.float64)
    roc = membership_roc(-members, -others)
    return ThresholdAttack(float(threshold), float(np.mean(members <= threshold)),
                           float(np.mean(others <= threshold)), roc)
