"""Unlearning of runs: reads a run, forgets, recovers, compares with retraining, writes a run."""

from tfunlearn.experiment.unlearning.settings import UnlearnSettings, unlearn_settings
from tfunlearn.experiment.unlearning.unlearn import UnlearningRun, Watch, unlearn

__all__ = ["UnlearnSettings", "UnlearningRun", "Watch", "unlearn", "unlearn_settings"]
