"""`tfunlearn sweep`."""

from __future__ import annotations

import pathlib
import time

import click
from rich.table import Table

from tfunlearn.sweeps.callbacks import SweepCallbacks
from tfunlearn.sweeps.grid import Cell
from tfunlearn.sweeps.grid_reading import read_grid
from tfunlearn.sweeps.result import CellResult
from tfunlearn.sweeps.sweep import sweep as run_sweep
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole, bars
from tfunlearn_cli.options import allow_code_option, engine_option


@click.command()
@click.argument("config", metavar="CONFIG")
@click.option(
    "--out",
    metavar="DIR",
    help="Folder of the sweep; an existing sweep is continued.  [default: runs/sweep-<name>]",
)
@click.option("--data-dir", metavar="DIR", help="Folder of data sets on disk.")
@click.option("--rounds", type=int, help="Rounds of every cell; overrides the grid.")
@engine_option
@allow_code_option
def sweep(config, out, data_dir, rounds):
    """Run a grid of rules, defenses, attacks and seeds, and print tables of results.

    CONFIG is a .toml or .json file, or the name of a shipped grid: ablation-channel-cifar10,
    ablation-channel-controls, ablation-channel-mnist, ablation-channel-one-class, fedup-claims,
    flap-digits, flap-regime, flap-table1, robustness-digits. Finished cells are skipped, so the
    same command continues a sweep. A file has [fixed] fields of `train` and `unlearn`, seeds, and a
    [grid] of rule, defense, attack and method (lists), or [[rows]] and [[columns]] with a label and
    any fields; measures and over (last, attacked) select what the tables show; source error is
    always shown next to attack success. A cell with a method unlearns the forget set named by
    forget; method none measures the trained model on that set. A failed unlearning has no figures.
    """
    grid = read_grid(config)
    if out is None:
        out = str(pathlib.Path("runs") / f"sweep-{pathlib.Path(config).stem}")
    given = {"data_dir": data_dir, "rounds": rounds}
    overrides = {name: value for name, value in given.items() if value is not None}
    run_and_show(grid, out, overrides)


def run_and_show(grid, out: str, overrides: dict) -> None:
    """Run the unfinished cells of a grid, and print its tables."""
    with SweepDisplay(grid, out) as display:
        matrices = run_sweep(grid, out, overrides=overrides, watch=display)
    for matrix in matrices:
        display.show(matrix)
    display.console.print(
        f"files     {out}: cells.csv, {', '.join(m.measure for m in matrices)} (.csv, .tex, .png)",
        markup=False,
    )


class SweepDisplay(SweepCallbacks):
    """Show a sweep in progress: a bar on a terminal, a line per cell in a pipe."""

    def __init__(self, grid, out: str):
        self.console, self._out, self._measures = PlainConsole(width=160), out, grid.measures
        cells = len(grid.rows) * len(grid.columns) * len(grid.seeds)
        self._heading = (
            f"sweep     {cells} cells ({len(grid.rows)} rows x {len(grid.columns)} "
            f"columns x {len(grid.seeds)} seeds) into {out}"
        )
        self._cells, self._done, self._new, self._started = cells, 0, 0, time.monotonic()
        self._progress = bars(self.console)
        self._task = self._progress.add_task("cell", total=cells)

    def __enter__(self):
        self.console.print(self._heading)
        self.console.file.flush()
        self._progress.start()
        return self

    def __exit__(self, kind, *_):
        self._progress.stop()
        if signals.stopped(kind):
            self.console.print(
                f"stopped   after {self._done} of {self._cells} cells; the same "
                f"command continues {self._out}",
                markup=False,
            )

    def on_round_end(self, cell: Cell, line: dict) -> None:
        signals.check()
        self._progress.update(self._task, description=f"cell (round {line['round']})")

    def on_cell_end(self, result: CellResult) -> None:
        self._done += 1
        self._new += result.new
        self._progress.update(self._task, advance=1)
        cell, width = result.cell, len(str(self._cells))
        values = "  ".join(
            f"{name.replace('_', ' ')} {'-' if value is None else f'{value:.4f}'}"
            for name, value in result.values.items()
            if name in self._measures
        )
        self.console.print(
            f"cell {self._done:>{width}}/{self._cells}  {cell.row} | {cell.column} | seed "
            f"{cell.seed}: {'' if result.state == 'ok' else result.state + '  '}{values}  "
            f"{self._time(result)}",
            markup=False,
        )
        self.console.file.flush()

    def show(self, matrix) -> None:
        """Print a matrix."""
        note = "; published in brackets" if matrix.published else ""
        self.console.print(
            f"\n{matrix.title}: {matrix.measure.replace('_', ' ')}{note}", markup=False
        )
        table = Table("", *matrix.columns, box=None)
        for row in matrix.rows:
            table.add_row(
                row,
                *(
                    matrix.text(row, column)
                    + (
                        f" ({matrix.published[row, column]:.3f})"
                        if (row, column) in matrix.published
                        else ""
                    )
                    for column in matrix.columns
                ),
            )
        self.console.print(table)

    def _time(self, result) -> str:
        if not result.new:
            return "finished earlier"
        each = (time.monotonic() - self._started) / self._new
        return f"{result.seconds:.1f} s, {each * (self._cells - self._done) / 60:.0f} min left"
