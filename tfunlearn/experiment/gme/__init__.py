"""Grouped Memorization Evaluation of runs: retraining, scoring, grading and comparison."""

from tfunlearn.experiment.gme.settings import GmeSettings
from tfunlearn.experiment.gme.study import GmeStudy, study_memorization
from tfunlearn.experiment.gme.tables import write_groups, write_scores

__all__ = ["GmeSettings", "GmeStudy", "study_memorization", "write_groups", "write_scores"]
