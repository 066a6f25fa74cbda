"""TFF's worker program: started so that it neither outlives us nor listens to the world."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pathlib
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator

from tfunlearn.core.errors import UserError, WorkerError
from tfunlearn.core.lazy import tff
from tfunlearn.workers.network_namespace import Process
from tfunlearn.workers.contexts import Connection
from tfunlearn.workers.relay import Relay, same_user

START_SECONDS = 120
_OWN_PORT = 10000  # in a network of its own every port is free
_EVERYWHERE = ("0.0.0.0", "::")


@contextlib.contextmanager
def local_worker(log: str | os.PathLike | None = None) -> Iterator[None]:
    """Runs TFF computations of this thread in a worker process of their own.

    TFF's default context lets the worker inherit stdout, outlive the program and listen on every
    interface; this one starts it in a session of its own, without our pipes, with a signal for the
    death of its parent, and in a network of its own, reached by this user alone.

    Args:
        log: file that receives the worker's output; nothing is kept by default.

    Raises:
        WorkerError: the worker did not open its port.
    """
    with _started(log) as target:
        connection, kept = Connection(target), tff.framework.get_context_stack().current
        try:
            tff.framework.set_default_context(connection.context)
            yield
        finally:
            connection.close()
            tff.framework.set_default_context(kept)


@contextlib.contextmanager
def _started(log) -> Iterator[str]:
    """Runs a worker for this process; gives the address that gRPC is to call."""
    worker = _Worker(log)
    try:
        if worker.process.sockets is None:
            yield f"127.0.0.1:{worker.port}"
            return
        name = f"tfunlearn-{secrets.token_hex(16)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"\0{name}")
        listener.listen()
        relay = Relay(listener, worker.connect, worker.process.sockets.give_back, same_user)
        try:
            yield f"unix-abstract:{name}"
        finally:
            relay.close()
    finally:
        worker.stop()


@contextlib.contextmanager
def serving_worker(host: str, port: int) -> Iterator[tuple[str, int, Callable[[], bool]]]:
    """Runs a worker for other processes and machines; gives address and port that it listens at,
    and what raises a `WorkerError` if it has died, else gives False.

    Args:
        host: address to listen at; `127.0.0.1` is this machine alone, `0.0.0.0` or `::` everybody.
            Nobody who calls is asked who they are, and nothing is encrypted.
        port: port, 0 for any free one.

    Raises:
        UserError: that address cannot be had, or a worker cannot be kept to it on this system.
        WorkerError: the worker did not start.
    """
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    try:
        worker = _Worker(None, fallback=False)
    except PermissionError:
        listener.close()
        if host not in _EVERYWHERE:
            raise UserError(
                f"host: {host!r} is not allowed here: this system gives no process a network of "
                "its own, and TFF's worker by itself listens everywhere; allowed is 0.0.0.0")
        worker, listener = _Worker(None, port=port), None
    try:
        if listener is None:
            yield host, port, worker.died
            return
        relay = Relay(listener, worker.connect, worker.process.sockets.give_back)
        try:
            yield host, port, worker.died
        finally:
            relay.close()
    finally:
        worker.stop()


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        return listener
    except (OSError, UnicodeError, OverflowError) as error:
        raise UserError(f"worker: {host}:{port} cannot be listened at "
                        f"({getattr(error, 'strerror', None) or error})")


class _Worker:
    """TFF's worker program.

    Args:
        log: file that receives its output.
        port: where it is to listen, everywhere; default in a network of its own.
        fallback: whether it may listen everywhere if it can have no such network.
    """

    def __init__(self, log, *, port: int | None = None, fallback: bool = True):
        self.port = port
        if port is None:
            try:
                self.port, self.process = _OWN_PORT, self._process(log, _OWN_PORT, confined=True)
            except PermissionError:
                if not fallback:
                    raise
                warnings.warn("TFF's worker listens on every interface while this runs: this "
                              "system gives no process a network of its own", stacklevel=2)
                import portpicker

                self.port = portpicker.pick_unused_port()
        if port is not None or self.port != _OWN_PORT:
            self.process = self._process(log, self.port, confined=False)
        atexit.register(self.stop)
        try:
            self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _process(log, port: int, *, confined: bool) -> Process:
        package = importlib.util.find_spec("tensorflow_federated")  # to import it takes seconds
        binary = pathlib.Path(package.origin).parent / "data" / "worker_binary"
        if not binary.is_file():
            raise WorkerError(f"tensorflow-federated: no worker program at {binary}")
        return Process([str(binary), f"--port={port}"], log, confined=confined)

    def connect(self) -> socket.socket | None:
        """Returns a socket connected to a worker in a network of its own, None if it has gone."""
        return self.process.sockets.connected(self.port)

    def died(self) -> bool:
        """Returns False; raises a `WorkerError` if the program has ended."""
        if self.process.ended is not None:
            raise WorkerError(f"TFF worker ended, code {self.process.ended}")
        return False

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.ended is not None:
                raise WorkerError(f"TFF worker ended at start, code {self.process.ended}")
            if self._answers() and self.process.ended is None:
                return
            time.sleep(0.02)
        raise WorkerError(f"TFF worker opened no port within {START_SECONDS} s")

    def _answers(self) -> bool:
        if self.process.sockets is not None:
            probe = self.connect()
            if probe is not None:
                self.process.sockets.give_back(probe)
            return probe is not None
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.process.stop()
