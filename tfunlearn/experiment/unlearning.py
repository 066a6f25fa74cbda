"""Unlearning of runs: the documented entry points."""

from tfunlearn.methods.settings import UnlearnSettings, unlearn_settings
from tfunlearn.workflows.unlearn.callbacks import UnlearningCallbacks, Watch
from tfunlearn.workflows.unlearn.workflow import (
    UnlearningRun,
    measure_run,
    resume_unlearning,
    unlearn,
)

__all__ = [
    "UnlearnSettings",
    "UnlearningCallbacks",
    "UnlearningRun",
    "Watch",
    "measure_run",
    "resume_unlearning",
    "unlearn",
    "unlearn_settings",
]
