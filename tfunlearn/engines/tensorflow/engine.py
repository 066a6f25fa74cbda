"""The engine on TensorFlow alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from tfunlearn.core import compute
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.lazy import tf
from tfunlearn.core.parallel import in_order
from tfunlearn.engines.engine import Engine, Results
from tfunlearn.engines.versions import versions_of
from tfunlearn.local_training.tracing import TracedWork


class TensorFlowEngine(Engine):
    """Run clients in this process, several at once, where TensorFlow places them.

    Every client computes by itself, so that its bits do not depend on how many run at once.

    Args:
        clients_at_once: clients that run at the same time; default as many as fill the cores of a
            CPU, one on a GPU.
    """

    name: ClassVar[str] = "tensorflow"

    def __init__(self, clients_at_once: int | None = None):
        require(
            "clients_at_once",
            clients_at_once,
            clients_at_once is None or clients_at_once >= 1,
            "at least 1",
        )
        self._told = clients_at_once

    @property
    def clients_at_once(self) -> int:
        """Number of clients that run at the same time."""
        return compute.calls_at_once() if self._told is None else self._told

    def mapper(self, work: TracedWork) -> Callable[..., Results]:
        def run(*values: Any) -> Results:
            *given, clients = values
            shared = [tf.constant(value) for value in given]

            def one(client: Mapping[str, Any]) -> list:
                tensors = {name: tf.constant(client[name]) for name in work.client}
                return [result.numpy() for result in work(*shared, tensors)]

            at_once = min(self.clients_at_once, len(clients)) or 1
            yield from enumerate(in_order(one, clients, at_once=at_once))

        return run

    def check_workers(self, workers: Sequence[str]) -> None:
        """Raise a `UserError` if there are any, since clients run in this process alone."""
        if workers:
            raise UserError(
                f"worker: not allowed with the engine tensorflow; got {', '.join(workers)}; "
                "workers on other machines need --engine tff"
            )

    @contextlib.contextmanager
    def at_work(self, log: str | os.PathLike | None = None, workers: Sequence[str] = ()):
        """See `Engine.at_work`; the clients need nothing else than this process."""
        self.check_workers(workers)
        yield

    def where(self) -> str:
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            name = details.get("device_name", "of unknown name")
            place = f"GPU {name}" + (f" (the first of {len(gpus)})" if len(gpus) > 1 else "")
        else:
            place = "CPU"
        count = self.clients_at_once
        return f"{place}, {count} client{'s' if count > 1 else ''} at once"

    def versions(self) -> Mapping[str, str]:
        return versions_of("tensorflow", "keras", "numpy")
