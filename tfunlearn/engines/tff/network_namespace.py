"""Child process in a separate network namespace, reachable only through sockets we hold.

TFF's worker binary listens on every interface and performs no authentication. Linux can start it
in a network namespace that contains only a loopback device. Sockets created in that namespace
before the program starts remain in it, even when another process holds them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence

_NEW_USER, _NEW_NETWORK, _SET_FLAGS, _UP = 0x10000000, 0x40000000, 0x8914, 0x1 | 0x40
_SOCKETS = 64


class Process:
    """A child process in a new session, without inherited pipes, bound to the parent's lifetime.

    Args:
        command: the program and its arguments.
        log: file to which its output is appended; default none, the output is discarded.
        confined: run it in a new network namespace; default False.
        environment: variables besides those of this process; default none.

    Attributes:
        sockets: unconnected TCP sockets in its network namespace; None if it uses the host's.

    Raises:
        PermissionError: the system does not allow a new network namespace.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: str | os.PathLike | None = None,
        *,
        confined: bool = False,
        environment: Mapping[str, str] | None = None,
    ):
        self.sockets = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(log if log else os.devnull, "ab") as output, ours, theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                close_fds=True,
                start_new_session=True,
                cwd=tempfile.gettempdir(),
                preexec_fn=_before(theirs if confined else None),
                env={**os.environ, **(environment or {})},
            )
            theirs.close()
            if confined:
                self.sockets = _Sockets(ours, self.stop)

    @property
    def ended(self) -> int | None:
        """Exit code; None while the process runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Terminate the process; kill it if it has not exited after 2 s."""
        if self.sockets is not None:
            self.sockets.close()
        if self.ended is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class _Sockets:
    """Pool of TCP sockets in another network namespace."""

    def __init__(self, source: socket.socket, on_failure: Callable[[], None]):
        found = socket.recv_fds(source, 16, _SOCKETS)[1]
        if not found:
            on_failure()
            raise PermissionError("no network of its own is allowed here")
        self._free, self._lock = (
            [socket.socket(fileno=number) for number in found],
            (threading.Lock()),
        )
        self._closed = False

    def close(self) -> None:
        """Close the free sockets; sockets in use are closed when they are given back."""
        with self._lock:
            self._closed, free, self._free = True, self._free, []
        for own in free:
            own.close()

    def connect(self, port: int) -> socket.socket | None:
        """Return a socket connected to a port in that network namespace, or None if nothing
        listens on the port or all sockets are in use."""
        with self._lock:
            if not self._free:
                return None
            lent = self._free.pop()
        if lent.connect_ex(("127.0.0.1", port)):
            self.give_back(lent)
            return None
        return lent

    def give_back(self, lent: socket.socket) -> None:
        """Disconnect a socket and return it to the pool; close it if the pool is closed."""
        if self._closed:
            lent.close()
            return
        nowhere = struct.pack("H14x", socket.AF_UNSPEC)
        ctypes.CDLL(None).connect(lent.fileno(), nowhere, len(nowhere))
        with self._lock:
            self._free.append(lent)


def _before(report: socket.socket | None) -> Callable[[], None] | None:
    """Return the function that the child runs before exec, or None if this is not Linux.

    It asks the kernel to kill the child when its parent dies. Given the socket `report`, it also
    moves the child to a new network namespace and sends sockets of that namespace to the parent.
    """
    if sys.platform != "linux":
        return None
    import fcntl

    libc, parent, set_parent_death_signal = ctypes.CDLL(None), os.getpid(), 1

    def prepare() -> None:
        if report is not None:
            own_user = 0 if libc.unshare(_NEW_NETWORK) == 0 else _NEW_USER
            if own_user and libc.unshare(_NEW_USER | _NEW_NETWORK):
                os._exit(1)
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            fcntl.ioctl(probe, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
            made = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(_SOCKETS)]
            socket.send_fds(report, [b"sockets"], [s.fileno() for s in made])
        libc.prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)

    return prepare
