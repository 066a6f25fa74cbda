"""Pool of TFF workers, local or remote, that share the clients of a round."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import re
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from tfunlearn.core.errors import UserError, WorkerError, require
from tfunlearn.core.lazy import tff
from tfunlearn.engines.tff.contexts import Connection, is_ready

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_ANSWER_SECONDS, _PATIENCE = 5, 3  # s per probe, failures in a row of a dead worker
_REST_SECONDS = 30  # s before a dead worker is tried again
_pool: contextvars.ContextVar[WorkerPool | None] = contextvars.ContextVar("pool", default=None)


@contextlib.contextmanager
def remote_workers(addresses: Sequence[str]) -> Iterator[WorkerPool]:
    """Distribute the clients of gathering rounds over workers started by `tfunlearn worker`.

    Args:
        addresses: `host:port` of each worker.

    Raises:
        UserError: an address is invalid or repeated, there is none, or no TFF worker answers
            at one.
    """
    pool = WorkerPool(addresses)
    token = _pool.set(pool)
    try:
        yield pool
    finally:
        _pool.reset(token)
        pool.close()


def spread(
    function: Callable[[Piece], Result], pieces: Sequence[Piece]
) -> Iterator[tuple[int, Result]]:
    """Yield `(place, function(piece))` for every piece, in unspecified order.

    Inside `remote_workers` the workers share the pieces; otherwise this process computes them one
    by one.
    """
    pool = _pool.get()
    if pool is not None:
        yield from pool.map(function, pieces)
        return
    for place, piece in enumerate(pieces):
        yield place, function(piece)


def worker_count() -> int:
    """Return the number of workers that share the clients of a round."""
    pool = _pool.get()
    return 1 if pool is None else len(pool.workers)


class WorkerPool:
    """Workers called over gRPC; see `remote_workers`."""

    def __init__(self, addresses: Sequence[str]):
        require(
            "worker",
            list(addresses),
            len(addresses) > 0 and len(set(addresses)) == len(addresses),
            "different addresses, at least one",
        )
        self.workers = [_Remote(address) for address in addresses]
        for worker in self.workers:
            try:
                worker.check()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close all connections."""
        for worker in self.workers:
            worker.close()

    def map(
        self, function: Callable[[Piece], Result], pieces: Sequence[Piece]
    ) -> Iterator[tuple[int, Result]]:
        """Yield `(place, function(piece))` for every piece, in order of completion.

        The unfinished piece of a worker that dies is computed by the other workers. Workers that
        died in an earlier call are used again if they answer.

        Raises:
            WorkerError: no worker is left.
        """
        left, done = queue.SimpleQueue(), queue.SimpleQueue()
        for item in enumerate(pieces):
            left.put(item)
        running = [worker for worker in self.workers if worker.is_back()]
        for worker in running:
            threading.Thread(target=worker.work, args=(function, left, done), daemon=True).start()
        missing, silent, listened = len(pieces), {}, time.monotonic()
        while missing:
            if not running:
                raise WorkerError(
                    f"no worker is left of {', '.join(w.address for w in self.workers)}; start them"
                    " again, then tfunlearn resume continues after the last finished round"
                )
            if time.monotonic() - listened >= _ANSWER_SECONDS:
                self._listen(running, silent)
                listened = time.monotonic()
            try:
                worker, place, result = done.get(timeout=_ANSWER_SECONDS)
            except queue.Empty:
                continue
            if isinstance(result, WorkerError):
                if worker in running:
                    running.remove(worker)
                    worker.rest()
                for other in running:  # idle workers may have work again
                    threading.Thread(
                        target=other.work, args=(function, left, done), daemon=True
                    ).start()
            elif isinstance(result, BaseException):
                raise result
            else:
                missing -= 1
                yield place, result

    @staticmethod
    def _listen(running: Sequence[_Remote], silent: dict) -> None:
        """Disconnect workers that failed `_PATIENCE` probes in a row."""
        for worker in running:
            silent[worker] = 0 if worker.answers() else silent.get(worker, 0) + 1
            if silent[worker] == _PATIENCE:
                worker.hang_up()  # which raises an error in its thread


class _Remote:
    """Client-side handle of one worker.

    Args:
        address: `host:port`, with an IPv6 host in brackets.
    """

    def __init__(self, address: str):
        self.address, self._connection, self._closed, self._rests = address, None, False, 0.0
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:/\[\]\s]+)):(\d{1,5})", address)
        require(
            "worker",
            address,
            match is not None and 0 < int(match[3]) < 65536,
            "host:port, such as 127.0.0.1:8000, an IPv6 address in brackets",
        )
        assert match is not None  # checked above
        self._host, self._port = match[1] or match[2], int(match[3])
        self._lock = threading.Lock()

    def is_back(self) -> bool:
        """Return whether the worker can be used in a round: it answers and is not resting."""
        if time.monotonic() < self._rests:
            return False
        if self.answers():
            return True
        self.rest()
        return False

    def rest(self) -> None:
        """Exclude the worker for `_REST_SECONDS`, with a warning."""
        self._rests = time.monotonic() + _REST_SECONDS
        warnings.warn(
            f"worker {self.address} died or does not answer; the others take over its clients",
            stacklevel=3,
        )

    def _listens(self) -> bool:
        """Return whether anything accepts connections at the address."""
        try:
            socket.create_connection((self._host, self._port), _ANSWER_SECONDS).close()
            return True
        except (OSError, UnicodeError):
            return False

    def answers(self) -> bool:
        """Return whether a gRPC server answers at the address."""
        return self._listens() and is_ready(self.address, _ANSWER_SECONDS)

    def check(self) -> None:
        """Raise a `UserError` unless a TFF worker answers at the address."""
        if not self.answers():
            if self._listens():
                raise UserError(f"worker: what listens at {self.address} is no TFF worker")
            raise UserError(
                f"worker: nothing listens at {self.address}; tfunlearn worker --port "
                f"{self._port} starts one (on its own machine alone, unless a tunnel "
                "or --host leads to it)"
            )

        @tff.tensorflow.computation
        def one():
            return 1

        found = queue.SimpleQueue()
        pieces = queue.SimpleQueue()
        pieces.put((0, None))
        threading.Thread(
            target=self.work, args=(lambda _: cast(Any, one)(), pieces, found), daemon=True
        ).start()
        try:
            result = found.get(timeout=60)[2]
        except queue.Empty:
            result = None
        if result != 1:
            raise UserError(f"worker: what answers at {self.address} is no TFF worker")

    def work(self, function: Callable, left: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
        """Compute pieces from `left` until none is left; put `(self, place, result)` into `done`.

        The result is the exception if one was raised. If the worker dies, its piece goes back to
        `left` and the loop ends.
        """
        with self._lock:  # one thread at a time may call a worker
            while True:
                try:
                    place, piece = left.get_nowait()
                except queue.Empty:
                    return
                try:
                    tff.framework.set_default_context(self._connect().context)
                    result = function(piece)
                except WorkerError as error:
                    left.put((place, piece))
                    self.hang_up()
                    done.put((self, place, error))
                    return
                except BaseException as error:
                    if self._connection is None:  # disconnected in the meantime
                        left.put((place, piece))
                        done.put((self, place, WorkerError(self.address)))
                        return
                    done.put((self, place, error))
                    return
                done.put((self, place, result))

    def hang_up(self) -> None:
        """Close the channel; the next call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close the channel permanently."""
        self._closed = True
        self.hang_up()

    def _connect(self) -> Connection:
        if self._closed:
            raise WorkerError(f"worker {self.address} is no longer used")
        if self._connection is None:
            self._connection = Connection(self.address, f"worker {self.address}")
        return self._connection
