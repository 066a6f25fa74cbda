"""Grouped Memorization Evaluation of runs: retrains what is missing, scores, grades, compares."""

from tfunlearn.workflows.evaluate.settings import GmeSettings
from tfunlearn.workflows.evaluate.study import GmeStudy, study_memorization
from tfunlearn.workflows.evaluate.tables import write_groups, write_scores

__all__ = ["GmeSettings", "GmeStudy", "study_memorization", "write_groups", "write_scores"]
