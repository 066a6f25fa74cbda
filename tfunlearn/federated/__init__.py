"""The federated engine: local training, federated rounds, and the TFF worker processes."""

from tfunlearn.federated.averaging import AveragingRounds
from tfunlearn.federated.gathering import GatheringRounds, Updates
from tfunlearn.federated.learning_process import build_learning_process
from tfunlearn.federated.partial import PartialRounds
from tfunlearn.workers.pool import remote_workers
from tfunlearn.workers.worker import local_worker, serving_worker

__all__ = [
    "AveragingRounds",
    "GatheringRounds",
    "PartialRounds",
    "Updates",
    "build_learning_process",
    "local_worker",
    "remote_workers",
    "serving_worker",
]
