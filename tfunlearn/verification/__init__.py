"""Attacks that test for forgetting, and the verdict: arrays in, numbers out."""

from tfunlearn.verification.gradient_inversion import (
    Reconstruction,
    gradient_of,
    invert_gradient,
    peak_signal_to_noise,
)
from tfunlearn.verification.indistinguishability import (
    challenge_score,
    forgetting_epsilons,
    forgetting_quality,
)
from tfunlearn.verification.likelihood import (
    Gaussians,
    confidences,
    lira_scores,
    permutation_p_value,
    u_lira_scores,
)
from tfunlearn.verification.model_inversion import Inversion, invert_class
from tfunlearn.verification.relearning import anamnesis_index, relearn_time
from tfunlearn.verification.roc import LEVELS, MembershipRoc, membership_roc
from tfunlearn.verification.shadow_models import ShadowAttack
from tfunlearn.verification.threshold import ThresholdAttack, threshold_attack
from tfunlearn.verification.verdict import Evidence, Grade, Verdict, detectable_gap, grade, judge

__all__ = [
    "Evidence",
    "Gaussians",
    "Grade",
    "Inversion",
    "LEVELS",
    "MembershipRoc",
    "Reconstruction",
    "ShadowAttack",
    "ThresholdAttack",
    "Verdict",
    "anamnesis_index",
    "challenge_score",
    "confidences",
    "detectable_gap",
    "forgetting_epsilons",
    "forgetting_quality",
    "grade",
    "gradient_of",
    "invert_class",
    "invert_gradient",
    "judge",
    "lira_scores",
    "membership_roc",
    "peak_signal_to_noise",
    "permutation_p_value",
    "relearn_time",
    "threshold_attack",
    "u_lira_scores",
]
