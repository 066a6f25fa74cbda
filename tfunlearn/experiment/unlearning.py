"""Unlearning of runs: reads a run, forgets, recovers, compares with retraining, writes a run."""

from tfunlearn.methods.settings import UnlearnSettings, unlearn_settings
from tfunlearn.workflows.unlearn.workflow import (
    UnlearningRun,
    Watch,
    measure_run,
    resume_unlearning,
    unlearn,
)

__all__ = [
    "UnlearnSettings",
    "UnlearningRun",
    "Watch",
    "measure_run",
    "resume_unlearning",
    "unlearn",
    "unlearn_settings",
]
