"""The console that every command prints to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import track


class PlainConsole(Console):
    """A rich console without guesses at colours, that lets a closed pipe be seen.

    Args:
        width: characters a line where the output is no terminal; default rich's own.
    """

    def __init__(self, width: int | None = None):
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False)
        if width is not None and not self.is_terminal:
            self.width = width

    def track(self, steps: Sequence) -> Iterable:
        """Shows a bar with the time left while `steps` are gone through; nothing in a pipe."""
        return track(steps, "", console=self, transient=True, disable=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
