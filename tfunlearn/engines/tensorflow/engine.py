"""The engine on TensorFlow alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tfunlearn.core import compute
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.lazy import tf
from tfunlearn.core.parallel import in_order, threads
from tfunlearn.engines.engine import Engine, Results
from tfunlearn.engines.versions import installed_versions
from tfunlearn.local_training.tracing import TracedWork

CALL_BYTES = 2**22  # clients of one call: at most so many bytes of their entries and results
CALLS_EACH = 4  # calls of a round for each of the threads, so that none waits long at the end


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
        self._count = clients_at_once

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return threads(self.clients_at_once)

    @property
    def clients_at_once(self) -> int:
        """Number of clients that run at the same time."""
        return compute.calls_at_once() if self._count is None else self._count

    def mapper(self, work: TracedWork) -> Callable[..., Results]:
        compute_in_turn = work.in_turn

        def run(*values: Any) -> Results:
            *given, clients = values
            shared = [tf.constant(value) for value in given]
            at_once = self.clients_at_once
            calls = _calls(clients, work.result_bytes, at_once)

            def one_call(some: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
                return compute_in_turn(*shared, some)

            place = 0
            for results in in_order(one_call, calls, at_once=at_once, pool=self._pool):
                for result in zip(*results):
                    yield place, result
                    place += 1

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
        return installed_versions("tensorflow", "keras", "numpy")


def _calls(
    clients: Sequence[Mapping[str, Any]], result_bytes: int, at_once: int
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the clients of each call: several small ones, or one large one."""
    most = max(1, len(clients) // (CALLS_EACH * at_once))
    some: list[Mapping[str, Any]] = []
    size = 0
    for client in clients:
        own = result_bytes + sum(np.asarray(entry).nbytes for entry in client.values())
        if some and (len(some) == most or size + own > CALL_BYTES):
            yield some
            some, size = [], 0
        some.append(client)
        size += own
    if some:
        yield some
