"""Configuration and training of runs: the documented entry points."""

from tfunlearn.config.reading import read_config, run_config
from tfunlearn.config.run_config import RunConfig
from tfunlearn.training.callbacks import TrainingCallbacks
from tfunlearn.training.train import TrainingRun, train

__all__ = ["RunConfig", "TrainingCallbacks", "TrainingRun", "read_config", "run_config", "train"]
