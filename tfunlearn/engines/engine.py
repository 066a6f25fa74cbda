"""What an engine gives: it runs the traced work of clients, and says who does it."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tfunlearn.local_training.tracing import TracedWork

Results = Iterator[tuple[int, Sequence[np.ndarray]]]


class Engine(ABC):
    """An engine that runs the work of clients.

    Attributes:
        name: its name, as `--engine` takes it.
    """

    name: ClassVar[str]

    @abstractmethod
    def mapper(self, work: TracedWork) -> Callable[..., Results]:
        """Return `(*given, clients) -> results`, which runs the work of each client.

        `given` are arrays that all clients receive, `clients` a sequence of mappings of arrays. The
        results are pairs of a client's place in the sequence and its result, a tuple of arrays, in
        any order; each is yielded as soon as it is there, and not kept.
        """

    def aggregating_rounds(self, work: Any, **options: Any) -> Callable | None:
        """Return rounds that aggregate inside the engine, or None if it only maps.

        Args:
            work: a `ClientWork`.
            **options: those of `federated.AveragingRounds`.
        """
        return None

    def on_server(self) -> Engine:
        """Return the engine for training on the server, which is this process; default itself."""
        return self

    def check_workers(self, workers: Sequence[str]) -> None:  # noqa: B027
        """Check that the engine can share clients with workers; by default it can.

        Args:
            workers: `host:port` of each.

        Raises:
            UserError: it has no workers.
        """

    @abstractmethod
    def at_work(
        self, log: str | os.PathLike | None = None, workers: Sequence[str] = ()
    ) -> contextlib.AbstractContextManager[None]:
        """Keep ready in the block what does the work.

        Args:
            log: file for the output of a worker process; default none.
            workers: `host:port` of workers that share the clients; default this machine alone.

        Raises:
            UserError: no worker answers at an address, or the engine has no workers.
        """

    @abstractmethod
    def where(self) -> str:
        """Return in words what does the work, such as "2 clients at once on the CPU"."""

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Return the versions that determine the bits of a round, by package."""
