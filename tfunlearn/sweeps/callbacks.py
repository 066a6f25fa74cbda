"""Callbacks of a sweep."""

from __future__ import annotations

from collections.abc import Callable

from tfunlearn.sweeps.grid import Cell
from tfunlearn.sweeps.result import CellResult


class SweepCallbacks:
    """Callbacks of a sweep; all methods are no-ops. Override those of interest."""

    def on_cell_end(self, result: CellResult) -> None:
        """Called with every result, also of cells that were finished earlier."""

    def on_round_end(self, cell: Cell, line: dict) -> None:
        """Called with the cell and each line of its metrics."""


SILENT = SweepCallbacks()


class FunctionCallbacks(SweepCallbacks):
    """Callbacks that call functions, where given, in place of the methods of other callbacks.

    Args:
        watch: the other callbacks.
        cell, round: called in place of `on_cell_end`, `on_round_end`.
    """

    def __init__(
        self,
        watch: SweepCallbacks | None = SILENT,
        cell: Callable[[CellResult], None] | None = None,
        round: Callable[[Cell, dict], None] | None = None,
    ):
        watch = watch or SILENT
        self._cell, self._round = cell or watch.on_cell_end, round or watch.on_round_end

    def on_cell_end(self, result: CellResult) -> None:
        self._cell(result)

    def on_round_end(self, cell: Cell, line: dict) -> None:
        self._round(cell, line)
