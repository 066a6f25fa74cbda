"""Metrics, model outputs on a test set, and evaluation of unlearning."""

from tfunlearn.evaluation.estimators import (
    checkpoint_scores,
    rank_correlation,
    subset_error,
    subset_scores,
)
from tfunlearn.evaluation.fairness import Fairness, local_fairness
from tfunlearn.evaluation.memorization import (
    GmeReport,
    assign_groups,
    gme_report,
    grouped_metric,
    memorization_scores,
)
from tfunlearn.evaluation.metrics import (
    accuracy,
    attack_success,
    class_accuracies,
    cross_entropies,
    cross_entropy,
    label_probabilities,
    probabilities,
    source_error,
)
from tfunlearn.evaluation.outputs import OutputsOf
from tfunlearn.evaluation.peak import TimeToPeak, time_to_peak

__all__ = [
    "Fairness",
    "GmeReport",
    "OutputsOf",
    "TimeToPeak",
    "accuracy",
    "assign_groups",
    "attack_success",
    "checkpoint_scores",
    "class_accuracies",
    "cross_entropies",
    "cross_entropy",
    "gme_report",
    "grouped_metric",
    "label_probabilities",
    "local_fairness",
    "memorization_scores",
    "probabilities",
    "rank_correlation",
    "source_error",
    "subset_error",
    "subset_scores",
    "time_to_peak",
]
