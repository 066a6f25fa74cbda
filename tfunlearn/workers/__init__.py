"""TFF worker processes: started, confined, pooled over several machines."""

from tfunlearn.workers.pool import remote_workers
from tfunlearn.workers.worker import local_worker, serving_worker

__all__ = ["local_worker", "remote_workers", "serving_worker"]
