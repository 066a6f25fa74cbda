"""Termination signals: raised immediately, and again if the exception was swallowed."""

from __future__ import annotations

import signal

from tfunlearn.core.errors import Terminated

received: list[int] = []


def install() -> None:
    """Make SIGINT, SIGTERM and SIGHUP end the program by an exception, with normal cleanup."""
    signal.signal(signal.SIGINT, _end)  # ignored by default in background jobs of scripts
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)


def check() -> None:
    """End the program if a signal was received.

    An exception raised in a destructor or in a callback of native code is lost there.
    """
    if received:
        _raise(received[0])


def stopped(kind: type[BaseException] | None) -> bool:
    """Return whether an exception of this type ends the program on request."""
    return kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit))


def _end(number: int, _) -> None:
    received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(128 + number)
