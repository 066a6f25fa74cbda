"""Bytes passed on from a listening socket to a server that only we can reach."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable

_PIECE = 2**20


class Relay:
    """Passes every connection of `listener` on; threads of this process do it.

    Args:
        listener: a socket that listens.
        connect: `() -> connected socket`, or None if there is none; then the caller is hung up on.
        give_back: handed what `connect` gave, once the connection is over.
        admits: whether a caller may come in; default everybody.
    """

    def __init__(
        self, listener: socket.socket, connect: Callable[[], socket.socket | None],
        give_back: Callable[[socket.socket], None],
        admits: Callable[[socket.socket], bool] = lambda _: True,
    ):
        self._listener, self._connect, self._give_back = listener, connect, give_back
        self._admits = admits
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listens no more; connections that are there end with their ends."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            if caller.family != socket.AF_UNIX:  # one that vanishes must not hold its place
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
            server = self._connect() if self._admits(caller) else None
            if server is None:
                return
            back = threading.Thread(target=_pass_on, args=(server, caller), daemon=True)
            back.start()
            _pass_on(caller, server)
            back.join()
            self._give_back(server)


def same_user(caller: socket.socket) -> bool:
    """Tells whether the process at the other end of a Unix socket is one of ours."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little") == os.getuid()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Passes bytes on, inside the kernel, until `source` ends."""
    out, into = os.pipe()
    try:
        while count := os.splice(source.fileno(), into, _PIECE):
            while count:
                count -= os.splice(out, target.fileno(), count)
    except OSError:  # one of the two has gone
        pass
    finally:
        os.close(out)
        os.close(into)
        for end, way in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
            with contextlib.suppress(OSError):
                end.shutdown(way)
