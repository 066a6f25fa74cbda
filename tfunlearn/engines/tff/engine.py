"""The engine on TensorFlow Federated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from tfunlearn.engines.engine import Engine, Results
from tfunlearn.engines.tensorflow import TensorFlowEngine
from tfunlearn.engines.tff.averaging import ProcessRounds
from tfunlearn.engines.tff.mapping import client_map
from tfunlearn.engines.tff.pool import remote_workers
from tfunlearn.engines.tff.worker import local_worker
from tfunlearn.engines.versions import installed_versions
from tfunlearn.local_training.tracing import TracedWork


class TFFEngine(Engine):
    """Run clients as TFF computations, in worker processes on this or other machines.

    TFF's worker program links no GPU library, so that clients train on the CPU. It runs as many
    clients at once as there are cores.
    """

    name: ClassVar[str] = "tff"

    def mapper(self, work: TracedWork) -> Callable[..., Results]:
        return client_map(work)

    def aggregating_rounds(self, work: Any, **options: Any) -> ProcessRounds:
        """Return rounds as calls of a TFF learning process; arguments of `ProcessRounds`."""
        return ProcessRounds(work, **options)

    def on_server(self) -> Engine:
        """Return the engine that trains in this process, without TFF's worker."""
        return TensorFlowEngine(1)

    def at_work(
        self, log: str | os.PathLike | None = None, workers: Sequence[str] = ()
    ) -> contextlib.AbstractContextManager[Any]:
        """Start a worker process for this process, or connect to workers; see `Engine`."""
        return remote_workers(workers) if workers else local_worker(log)

    def where(self) -> str:
        return "CPU, in a worker process"

    def versions(self) -> Mapping[str, str]:
        return installed_versions("tensorflow", "keras", "tensorflow-federated", "numpy")
