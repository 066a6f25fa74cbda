"""A sweep: many runs from one grid, resumable, with tables of their results."""

from __future__ import annotations

import collections
import contextlib
import csv
import importlib.resources
import json
import logging
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

import numpy as np

from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.files import digest_of, locked, replacing, user_path, write_json
from tfunlearn.core.lazy import tf
from tfunlearn.report.matrix import Matrix, save_matrix
from tfunlearn.sweeps.callbacks import SILENT, FunctionCallbacks, SweepCallbacks
from tfunlearn.sweeps.cells import train_cell, unlearn_cell
from tfunlearn.sweeps.grid import MEASURES, Cell, Grid
from tfunlearn.sweeps.grid_reading import grid_of
from tfunlearn.sweeps.result import CellResult

MARK, MARK_VERSION, LOCK = "sweep.json", 1, ".lock"


def sweep(
    grid: Grid,
    out: str | os.PathLike,
    *,
    overrides: dict | None = None,
    watch: SweepCallbacks = SILENT,
    on_cell: Callable[[CellResult], None] | None = None,
    on_round: Callable[[Cell, dict], None] | None = None,
) -> list[Matrix]:
    """Run the unfinished cells of a grid, and write its tables.

    A cell is finished once `results/<key>.json` exists; the key is the hash of its whole
    configuration, so that cells with changed settings run again and equal cells run once.
    Interrupted cells are resumed.

    Args:
        grid: the grid.
        out: folder of the sweep: new, empty, or the folder of an earlier sweep.
        overrides: settings that replace the grid's; default none.
        watch: callbacks.
        on_cell, on_round: called in place of `watch.on_cell_end` and `watch.on_round_end`.

    Returns:
        One matrix per measure. `out` holds `cells.csv`, and per measure `<measure>.csv`, `.tex`
        and `.png`.

    Raises:
        UserError: a cell is invalid or fails, or `out` is not the folder of a sweep or is in use.
    """
    require("out", out, str(out) != "", "the name of a folder")
    cells, figures = grid.cells(**(overrides or {})), published_figures(grid)
    watch = FunctionCallbacks(watch, on_cell, on_round)
    # no warnings about functions retraced in every cell
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _claim_folder(user_path(out), grid, overrides or {}) as folder:
        results = []
        for cell in cells:
            result = _read_finished(folder, cell, grid.over) or _run(folder, cell, grid.over, watch)
            results.append(result)
            watch.on_cell_end(result)
        return _write_tables(folder, grid, results, figures)


def read_sweep(folder: str | os.PathLike) -> tuple[Grid, dict]:
    """Return the grid and the overrides of an existing sweep.

    Raises:
        UserError: there is none, or it is of a version that did not store the grid.
    """
    try:
        mark = json.loads((user_path(folder) / MARK).read_text())
        content, overrides = mark["content"], mark["overrides"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"sweep: {folder} holds no readable grid ({first_line(error)}); resume it with "
            "tfunlearn sweep CONFIG --out"
        )
    return grid_of(content, str(folder)), overrides


@contextlib.contextmanager
def _claim_folder(folder: pathlib.Path, grid: Grid, overrides: dict) -> Iterator[pathlib.Path]:
    """Create or open the folder of a sweep, and lock it against other processes."""
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.name != LOCK for path in folder.iterdir()) and not is_sweep(folder):
            raise UserError(f"out: {folder} is in use and no sweep; name a new folder")
    except OSError as error:
        raise UserError(f"out: {folder} cannot be written ({error.strerror})")
    with locked(folder / LOCK, f"out: another sweep is running in {folder}"):
        write_json(
            folder / MARK,
            {
                "sweep": MARK_VERSION,
                "title": grid.title,
                "over": grid.over,
                "seeds": grid.seeds,
                "content": grid.content,
                "overrides": overrides,
            },
        )
        for name in ("results", "runs"):
            (folder / name).mkdir(exist_ok=True)
        try:
            yield folder
        except UserError:
            if folder in made and not any((folder / "runs").glob("*/metrics.jsonl")):
                _discard(folder, made)
            raise


def is_sweep(folder: pathlib.Path) -> bool:
    try:
        return json.loads((folder / MARK).read_text())["sweep"] == MARK_VERSION
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _discard(folder: pathlib.Path, made: list[pathlib.Path]) -> None:
    """Delete the files of a sweep without a finished round."""
    for name in ("results", "runs"):
        shutil.rmtree(folder / name)
    for name in (MARK, LOCK):
        (folder / name).unlink()
    with contextlib.suppress(OSError):  # another process may use a parent by now
        for path in made:
            path.rmdir()


def _read_finished(folder: pathlib.Path, cell: Cell, over: str) -> CellResult | None:
    path = folder / "results" / f"{cell.key}.json"
    try:
        stored = json.loads(path.read_text())
        if stored["sha256"] != digest_of(stored):
            raise ValueError("its checksum differs")
        return CellResult(
            cell,
            _values(stored["metrics"], over),
            stored["seconds"],
            new=False,
            state=_state(stored["metrics"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"sweep: {path} is damaged ({first_line(error)}); remove it to run the cell again"
        )


def _run(folder: pathlib.Path, cell: Cell, over: str, watch: SweepCallbacks) -> CellResult:
    try:
        if cell.unlearning is None:
            lines, digest, seconds = train_cell(folder, cell, watch)
        else:
            lines, digest, seconds = unlearn_cell(folder, cell, watch)
    except UserError as error:
        raise UserError(f"cell '{cell.row}' / '{cell.column}': {error}")
    tf.keras.backend.clear_session()
    stored = {
        "row": cell.row,
        "column": cell.column,
        "config": cell.config.flat(),
        "unlearning": cell.unlearning and cell.unlearning.recorded(),
        "checkpoint_sha256": digest,
        "seconds": seconds,
        "metrics": lines,
    }
    write_json(folder / "results" / f"{cell.key}.json", {**stored, "sha256": digest_of(stored)})
    return CellResult(cell, _values(lines, over), seconds, new=True, state=_state(lines))


def _state(lines: list[dict]) -> str:
    return lines[-1].get("state", "ok")


def _values(lines: list[dict], over: str) -> dict[str, float | None]:
    """Return each measure of the last round, or, if asked, its mean over attacked rounds if any."""
    attacked = [line for line in lines if line["attackers"]]
    counted = attacked if over == "attacked" and attacked else lines[-1:]
    return {
        name: None
        if any(line.get(name) is None for line in counted)
        else float(np.mean([line[name] for line in counted]))
        for name in MEASURES
    }


def _write_tables(
    folder: pathlib.Path,
    grid: Grid,
    results: list[CellResult],
    figures: dict,
) -> list[Matrix]:
    _write_cells(folder / "cells.csv", results)
    matrices = []
    for measure in grid.measures:
        values, failed = {}, collections.Counter()
        for result in results:
            failed[result.cell.row, result.cell.column] += result.state == "failed"
            value = result.values[measure]
            values.setdefault((result.cell.row, result.cell.column), []).append(
                math.nan if value is None else value
            )
        matrix = Matrix(
            grid.title,
            measure,
            [row.label for row in grid.rows],
            [column.label for column in grid.columns],
            values,
            figures if measure == grid.published.get("measure") else {},
            {place: count for place, count in failed.items() if count},
        )
        save_matrix(folder / measure, matrix)
        matrices.append(matrix)
    return matrices


def _write_cells(path: pathlib.Path, results: list[CellResult]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "column", "seed", *MEASURES, "seconds", "key", "state"])
        for result in results:
            cell = result.cell
            writer.writerow(
                [
                    cell.row,
                    cell.column,
                    cell.seed,
                    *(
                        "" if result.values[m] is None else f"{result.values[m]:.6f}"
                        for m in MEASURES
                    ),
                    result.seconds,
                    cell.key,
                    result.state,
                ]
            )


def published_figures(grid: Grid) -> dict[tuple[str, str], float]:
    """Return the published figure of each pair of row and column that has one.

    Raises:
        UserError: there is no such table, or it has no such column.
    """
    if not grid.published:
        return {}
    table = importlib.resources.files("tfunlearn_published") / f"{grid.published['table']}.csv"
    require("published", grid.published["table"], table.is_file(), "a table of data/published")
    entries = list(csv.DictReader(table.read_text().splitlines()))
    figures = {}
    for row in grid.rows:
        for column in grid.columns:
            wanted = {**row.published, **column.published}
            try:
                found = [
                    entry
                    for entry in entries
                    if wanted and all(entry[k] == str(v) for k, v in wanted.items())
                ]
                if len(found) == 1:
                    figures[row.label, column.label] = (
                        float(found[0][grid.published["value"]]) * grid.published["scale"]
                    )
            except KeyError as error:
                raise UserError(f"published: {grid.published['table']} has no column {error}")
            except ValueError:
                raise UserError(
                    f"published: value '{grid.published['value']}' is no column of "
                    f"numbers in {grid.published['table']}"
                )
    return figures
