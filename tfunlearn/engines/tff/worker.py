"""TFF worker process, bound to the lifetime of its parent and not exposed to the network."""

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
from typing import Any, cast

from tfunlearn.core import compute
from tfunlearn.core.errors import UserError, WorkerError
from tfunlearn.core.lazy import tff
from tfunlearn.engines.tff.contexts import Connection
from tfunlearn.engines.tff.network_namespace import Process
from tfunlearn.engines.tff.relay import Relay, same_user

START_SECONDS = 120
_OWN_PORT = 10000  # every port is free in a new network namespace
_EVERYWHERE = ("0.0.0.0", "::")


@contextlib.contextmanager
def local_worker(log: str | os.PathLike | None = None) -> Iterator[None]:
    """Run the TFF computations of this thread in a separate worker process.

    TFF's default context lets the worker inherit stdout, outlive the program and listen on every
    interface. This one starts the worker in a new session, without inherited pipes, killed when
    its parent dies, and in a separate network namespace that only the same user can reach. If the
    system allows no such namespace, it warns and the worker listens on every interface.

    Args:
        log: file to which the worker's output is appended; default none, the output is discarded.

    Raises:
        WorkerError: the worker program is missing, or it did not open its port.
    """
    with _start(log) as target:
        connection, kept = Connection(target), tff.framework.get_context_stack().current
        try:
            tff.framework.set_default_context(connection.context)
            yield
        finally:
            connection.close()
            tff.framework.set_default_context(kept)


@contextlib.contextmanager
def _start(log) -> Iterator[str]:
    """Run a worker for this process; yield its gRPC target."""
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
    """Run a worker for other processes and machines.

    Yields the host and the port on which it listens, and a function that raises a `WorkerError`
    if the worker has died and returns False otherwise.

    Args:
        host: address on which to listen; `127.0.0.1` for this machine only, `0.0.0.0` or `::` for
            all interfaces. There is no authentication and no encryption.
        port: port; 0 for any free one.

    Raises:
        UserError: the address is not available, or this system cannot restrict a worker to it.
        WorkerError: the worker did not start.
    """
    compute.prepare()
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    try:
        worker = _Worker(None, fallback=False)
    except PermissionError:
        listener.close()
        if host not in _EVERYWHERE:
            raise UserError(
                "host: must be 0.0.0.0 on this system, which supports no network namespaces, "
                f"since TFF's worker listens on all interfaces; got {host!r}"
            )
        worker, listener = _Worker(None, port=port), None
    try:
        if listener is None:
            yield host, port, worker.died
            return
        assert worker.process.sockets is not None  # it did not fall back
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
        raise UserError(
            f"worker: {host}:{port} cannot be listened at "
            f"({getattr(error, 'strerror', None) or error})"
        )


class _Worker:
    """A running TFF worker program.

    Args:
        log: file to which its output is appended, or None.
        port: port on which it listens on all interfaces; default None: it runs in a separate
            network namespace.
        fallback: if the system allows no network namespace, listen on all interfaces with a
            warning (True, default) or raise `PermissionError`.
    """

    def __init__(self, log, *, port: int | None = None, fallback: bool = True):
        self.port: int | None = port
        if port is None:
            try:
                self.port, self.process = _OWN_PORT, self._process(log, _OWN_PORT, confined=True)
            except PermissionError:
                if not fallback:
                    raise
                warnings.warn(
                    "TFF's worker listens on every interface while this runs: this "
                    "system gives no process a network of its own",
                    stacklevel=2,
                )
                import portpicker

                self.port = portpicker.pick_unused_port()
        if port is not None or self.port != _OWN_PORT:
            assert self.port is not None  # given, or picked above
            self.process = self._process(log, self.port, confined=False)
        atexit.register(self.stop)
        try:
            self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _process(log, port: int, *, confined: bool) -> Process:
        found = importlib.util.find_spec("tensorflow_federated")  # importing it takes seconds
        package = cast(Any, found)
        binary = pathlib.Path(package.origin).parent / "data" / "worker_binary"
        if not binary.is_file():
            raise WorkerError(f"tensorflow-federated: no worker program at {binary}")
        environment = {
            **compute.environment(),
            "TF_DETERMINISTIC_OPS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        command = [str(binary), f"--port={port}"]
        return Process(command, log, confined=confined, environment=environment)

    def connect(self) -> socket.socket | None:
        """Return a socket connected to the worker in its network namespace, or None.

        None means that the worker does not listen or that all sockets are in use.
        """
        assert self.process.sockets is not None and self.port is not None  # it is confined
        return self.process.sockets.connect(self.port)

    def died(self) -> bool:
        """Return False, or raise a `WorkerError` if the worker process has exited."""
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
