"""TCP relay from a listening socket to a server that only this process can reach."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable

_PIECE = 2**20


class Relay:
    """Relay every connection of `listener`, in threads of this process.

    Args:
        listener: a listening socket.
        connect: `() -> connected socket`, or None if there is none, which closes the caller's
            connection.
        give_back: called with the socket that `connect` returned, once the connection is closed.
        admits: `(caller socket) -> bool`, whether to accept a caller; default all.
    """

    def __init__(
        self,
        listener: socket.socket,
        connect: Callable[[], socket.socket | None],
        give_back: Callable[[socket.socket], None],
        admits: Callable[[socket.socket], bool] = lambda _: True,
    ):
        self._listener, self._connect, self._give_back = listener, connect, give_back
        self._admits = admits
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening; open connections last until one of their ends closes."""
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
            if caller.family != socket.AF_UNIX:  # detect vanished callers, to free their socket
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
    """Return whether the peer of a Unix socket runs under this process's user id."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little") == os.getuid()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes inside the kernel (splice) until `source` reaches its end."""
    out, into = os.pipe()
    try:
        while count := os.splice(source.fileno(), into, _PIECE):
            while count:
                count -= os.splice(out, target.fileno(), count)
    except OSError:  # one of the two sockets is closed
        pass
    finally:
        os.close(out)
        os.close(into)
        for end, way in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
            with contextlib.suppress(OSError):
                end.shutdown(way)
