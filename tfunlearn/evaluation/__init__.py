"""Metrics, and the outputs of a model on a test set."""

from tfunlearn.evaluation.metrics import (
    accuracy, attack_success, class_accuracies, cross_entropy, source_error)
from tfunlearn.evaluation.outputs import OutputsOf

__all__ = ["OutputsOf", "accuracy", "attack_success", "class_accuracies", "cross_entropy",
           "source_error"]
