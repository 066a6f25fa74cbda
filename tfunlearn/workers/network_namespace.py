"""A process in a network of its own: its ports can be reached through our own sockets alone.

TFF's worker program listens on every interface and asks nobody who they are. Linux can give it a
network that holds nothing but a loopback device; sockets made in there before the program starts
stay in that network, whoever holds them.
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
from collections.abc import Callable, Sequence

_NEW_USER, _NEW_NETWORK, _SET_FLAGS, _UP = 0x10000000, 0x40000000, 0x8914, 0x1 | 0x40
_SOCKETS = 64


class Process:
    """A program without our pipes, in a session of its own, that dies with this one.

    Args:
        command: its words.
        log: file that receives its output; nothing is kept by default.
        confined: whether it is to have a network of its own.

    Attributes:
        sockets: unconnected TCP sockets in its network, None if it has this machine's.

    Raises:
        PermissionError: this system allows no network of its own.
    """

    def __init__(
        self, command: Sequence[str], log: str | os.PathLike | None = None, *,
        confined: bool = False,
    ):
        self.sockets = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(log if log else os.devnull, "ab") as output, ours, theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, close_fds=True,
                start_new_session=True, cwd=tempfile.gettempdir(),
                preexec_fn=_before(theirs if confined else None),
                env={**os.environ, "TF_DETERMINISTIC_OPS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"})
            theirs.close()
            if confined:
                self.sockets = _Sockets(ours, self.stop)

    @property
    def ended(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ends it."""
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
    """TCP sockets of another network, lent and given back."""

    def __init__(self, source: socket.socket, on_failure: Callable[[], None]):
        found = socket.recv_fds(source, 16, _SOCKETS)[1]
        if not found:
            on_failure()
            raise PermissionError("no network of its own is allowed here")
        self._free, self._lock = [socket.socket(fileno=number) for number in found], (
            threading.Lock())
        self._closed = False

    def close(self) -> None:
        """Closes those that are not lent; the others follow when they are given back."""
        with self._lock:
            self._closed, free, self._free = True, self._free, []
        for own in free:
            own.close()

    def connected(self, port: int) -> socket.socket | None:
        """Returns a socket connected to a port of that network, None if nothing listens there or
        all are in use."""
        with self._lock:
            if not self._free:
                return None
            lent = self._free.pop()
        if lent.connect_ex(("127.0.0.1", port)):
            self.give_back(lent)
            return None
        return lent

    def give_back(self, lent: socket.socket) -> None:
        """Takes a socket back, disconnected."""
        if self._closed:
            lent.close()
            return
        nowhere = struct.pack("H14x", socket.AF_UNSPEC)
        ctypes.CDLL(None).connect(lent.fileno(), nowhere, len(nowhere))
        with self._lock:
            self._free.append(lent)


def _before(report: socket.socket | None) -> Callable[[], None] | None:
    """Returns what the child does before it becomes the program: Linux is to kill it when its
    parent dies, and, given a socket to report to, it moves to a network of its own."""
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
