"""Progress of reading many files, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def reading(items: Sequence[T], what: str, *, least: int = 2000) -> Iterator[T]:
    """Yield `items`; with a progress bar on a terminal from `least` items."""
    if len(items) < least:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, what, console=console, disable=not console.is_terminal)
