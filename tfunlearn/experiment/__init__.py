"""Runs: configuration, training, evaluation, and the directory they live in."""

from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.config_reading import read_config, run_config
from tfunlearn.experiment.train import TrainingRun, train

__all__ = ["RunConfig", "TrainingRun", "read_config", "run_config", "train"]
