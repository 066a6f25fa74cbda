"""The console that all commands print to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)

from tfunlearn_cli import signals


def bars(console: Console) -> Progress:
    """Return progress bars with name, count and time left; disabled without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def measuring(progress: Progress, steps: Sequence) -> Iterator:
    """Show one more bar in `progress` while iterating over `steps`."""
    task = progress.add_task("measuring", total=len(steps))
    for step in steps:
        signals.check()
        yield step
        progress.update(task, advance=1)
    progress.remove_task(task)


class PlainConsole(Console):
    """A rich console without highlighting, which raises `BrokenPipeError` on a closed pipe.

    Args:
        width: characters per line if the output is not a terminal; default rich's own.
    """

    def __init__(self, width: int | None = None):
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False)
        if width is not None and not self.is_terminal:
            self.width = width

    def track(self, steps: Sequence) -> Iterable:
        """Show a bar with the time left while iterating over `steps`; nothing in a pipe."""
        return track(steps, "", console=self, transient=True, disable=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
