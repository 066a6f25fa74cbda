"""The engine on TensorFlow Federated: iterative processes, aggregation factories, workers."""

from tfunlearn.engines.tff.engine import TFFEngine
from tfunlearn.engines.tff.factories import rule_factory
from tfunlearn.engines.tff.learning_process import build_learning_process
from tfunlearn.engines.tff.pool import remote_workers
from tfunlearn.engines.tff.worker import local_worker, serving_worker

__all__ = [
    "TFFEngine",
    "build_learning_process",
    "local_worker",
    "remote_workers",
    "rule_factory",
    "serving_worker",
]
