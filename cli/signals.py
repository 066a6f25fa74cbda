"""Signals that ask the program to end: raised at once, and again should the first be lost."""

from __future__ import annotations

import signal
import sys

received: list[int] = []


def install() -> None:
    """Makes SIGINT, SIGTERM and SIGHUP end the program through its cleaning up."""
    signal.signal(signal.SIGINT, _end)  # a script's & would ignore it
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)


def check() -> None:
    """Ends the program if a signal has asked for it: one that came while a destructor or a
    callback of native code ran was lost there."""
    if received:
        _raise(received[0])


def _end(number: int, _) -> None:
    received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
