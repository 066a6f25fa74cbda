"""Grouped Memorization Evaluation of runs: the documented entry points."""

from tfunlearn.workflows.evaluate.settings import GmeSettings
from tfunlearn.workflows.evaluate.study import GmeStudy, study_memorization
from tfunlearn.workflows.evaluate.tables import write_groups, write_scores

__all__ = ["GmeSettings", "GmeStudy", "study_memorization", "write_groups", "write_scores"]
