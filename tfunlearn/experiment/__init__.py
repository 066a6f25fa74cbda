"""Runs: configuration, training, evaluation, and the directory they live in."""

from tfunlearn.core.acceleration import prefer_onednn

prefer_onednn()  # before anything below imports TensorFlow

from tfunlearn.experiment.config import RunConfig  # noqa: E402
from tfunlearn.experiment.config_reading import read_config, run_config  # noqa: E402
from tfunlearn.experiment.train import TrainingRun, train  # noqa: E402

__all__ = ["RunConfig", "TrainingRun", "read_config", "run_config", "train"]
