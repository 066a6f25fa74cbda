"""When something is due, as pure functions of the round (counted from 1)."""

from __future__ import annotations

from collections.abc import Callable


def every(rounds: int, *, start: int = 1) -> Callable:
    """Returns `due(round)`: true at rounds `start`, `start + rounds`, `start + 2 rounds`, ...

    Works on integers and on integer tensors.
    """
    def due(number):
        return (number >= start) & ((number - start) % rounds == 0)

    return due


def between(first: int, last: int | None = None) -> Callable[[int], bool]:
    """Returns `due(round)`: true from round `first` to round `last`, both included."""
    return lambda number: number >= first and (last is None or number <= last)
