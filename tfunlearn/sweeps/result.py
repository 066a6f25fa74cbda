"""Result of one cell of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.sweeps.grid import Cell


@dataclass(frozen=True)
class CellResult:
    """Result of a cell.

    Attributes:
        cell: the cell.
        values: each measure, None where the run has none.
        seconds: seconds that its rounds took.
        new: whether it was run in this call, not earlier.
        state: ok, damaged or failed for an unlearning; ok for a training.
    """

    cell: Cell
    values: dict[str, float | None]
    seconds: float
    new: bool
    state: str = "ok"
