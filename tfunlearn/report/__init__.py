"""Figures of training runs, client partitions and unlearning."""

from tfunlearn.report.channels import save_effects
from tfunlearn.report.curves import save_curves, save_histogram
from tfunlearn.report.groups import save_groups
from tfunlearn.report.ratio import save_ratio
from tfunlearn.report.recovery import save_recovery

__all__ = [
    "save_effects",
    "save_curves",
    "save_groups",
    "save_histogram",
    "save_ratio",
    "save_recovery",
]
