"""Reading of tables: CSV, Parquet, JSON lines, and folders of Hugging Face `save_to_disk`.

CSV is read as text, so that identifiers keep their zeros and the label `NA` stays a label; columns
become numbers later (`columns`), which names the row of a value that is none.
"""

from __future__ import annotations

import csv as csv_module
import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line

CSV, PARQUET, LINES = (".csv", ".tsv"), (".parquet",), (".jsonl", ".ndjson")
SUFFIXES = (*CSV, *PARQUET, *LINES)


@dataclass(frozen=True)
class RawTable:
    """A table as it was read.

    Attributes:
        path: its file or folder.
        columns: name to values `(n,)`, numbers or objects (text, None).
        class_names: names of the whole numbers of a column, where the file knows them.
        lines: returns the number of the line on which each row begins; default none.
    """

    path: str
    columns: Mapping[str, np.ndarray]
    class_names: Mapping[str, tuple[str, ...]]
    lines: Callable[[], Sequence[int]] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def place(self, rows: np.ndarray | None = None) -> Callable[[int], str]:
        """Return the function that names a row, counted from 1 without the header.

        Args:
            rows: row of the table of each row asked for; default all.
        """
        name = os.path.basename(self.path)

        def words(row: int) -> str:
            if row < 0:
                return name
            number = row if rows is None else int(rows[row])
            line = number + 2 if self.lines is None else self.lines()[number]
            more = "" if line == number + 2 else f" (line {line})"  # below the header
            return f"{name}, row {number + 1}{more}"

        return words


def read_table(path: str, delimiter: str = ",") -> RawTable:
    """Return a table from a file or a folder.

    Raises:
        UserError: it cannot be read, has no rows, or has two columns of one name.
    """
    lines = None
    if os.path.isdir(path):
        columns, names = _read_saved_folder(path)
    elif path.lower().endswith(PARQUET):
        columns, names = _read_parquet(path), {}
    elif path.lower().endswith(LINES):
        columns, names = _read_lines(path), {}
    else:
        mark = "\t" if path.lower().endswith(".tsv") else delimiter
        columns, names = _read_csv(path, mark), {}
        lines = functools.partial(_lines_of_rows, path, mark)
    table = RawTable(path, columns, names, lines)
    if not len(table):
        raise UserError(f"dataset: {path} must have at least one row; got none")
    return table


def _read_csv(path: str, delimiter: str) -> dict[str, np.ndarray]:
    import pyarrow as pa
    from pyarrow import csv

    if os.path.getsize(path) == 0:
        raise UserError(f"dataset: {path} is empty; it must have a header and rows")
    _require_utf8(path)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        names = csv.open_csv(path, parse_options=parse).schema.names
        _require_distinct(path, names)
        table = csv.read_csv(
            path,
            parse_options=parse,
            read_options=csv.ReadOptions(use_threads=False),
            convert_options=csv.ConvertOptions(column_types={name: pa.string() for name in names}),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _require_rectangle(path, delimiter)
        raise UserError(f"dataset: {path} cannot be read as CSV ({first_line(error)})")
    if len(names) == 1 and delimiter not in names[0]:
        other = next((mark for mark in ";\t|," if mark in names[0]), None)
        if other is not None:
            raise UserError(
                f"dataset: {path} has one column, {names[0][:60]!r}; separate with "
                f"--delimiter {'TAB' if other == chr(9) else repr(other)}"
            )
    return {name: _objects(table.column(name)) for name in table.column_names}


def _lines_of_rows(path: str, delimiter: str) -> list[int]:
    """Return the number of the line on which each row of a CSV file begins, counted from 1."""
    found, begin = [], 1
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv_module.reader(file, delimiter=delimiter)
        for row in reader:
            if row:
                found.append(begin)
            begin = reader.line_num + 1
    return found[1:]


def _require_rectangle(path: str, delimiter: str) -> None:
    """Raise a `UserError` for the first row of another length than the header."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv_module.reader(file, delimiter=delimiter)
        head = next(reader, [])
        for number, row in enumerate(reader, start=1):
            if row and len(row) != len(head):
                raise UserError(
                    f"dataset: {path}, row {number} (line {reader.line_num}): must have "
                    f"{len(head)} values, as the header has; got {len(row)}; quote values that "
                    f"contain {delimiter!r}"
                )


def _require_utf8(path: str) -> None:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"dataset: {path}, line {number}: must be UTF-8; got byte "
                    f"0x{line[error.start]:02x} at column {error.start + 1}; save the file as UTF-8"
                )


def _require_distinct(path: str, names: list[str]) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise UserError(
            f"dataset: {path} must have columns of different names; got {double[0]!r} twice"
        )


def _read_parquet(path: str) -> dict[str, np.ndarray]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"dataset: {path} cannot be read as Parquet ({first_line(error)})")
    return _arrow_columns(path, table)


def _read_lines(path: str) -> dict[str, np.ndarray]:
    _require_utf8(path)
    rows: list[Mapping[str, Any]] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"dataset: {path}, line {number}: no JSON ({first_line(error)})")
            if not isinstance(row, dict) or any(
                isinstance(value, (dict, list)) for value in row.values()
            ):
                raise UserError(
                    f"dataset: {path}, line {number}: must be an object of plain values, such as "
                    '{"text": "...", "label": "..."}'
                )
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        column = np.empty(len(rows), object)
        column[:] = [row.get(name) for row in rows]
        columns[name] = column
    return columns


def _read_saved_folder(path: str) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Return columns and names of classes of a folder of `datasets.Dataset.save_to_disk`."""
    import pyarrow as pa

    try:
        state = json.loads((pathlib.Path(path) / "state.json").read_text(encoding="utf-8"))
        parts = []
        for file in state["_data_files"]:
            with pa.memory_map(os.path.join(path, file["filename"])) as source:
                parts.append(pa.ipc.open_stream(source).read_all())
        table = pa.concat_tables(parts)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        raise UserError(
            f"dataset: {path} cannot be read as a folder of save_to_disk ({first_line(error)})"
        )
    noted = (table.schema.metadata or {}).get(b"huggingface")
    features = json.loads(noted)["info"].get("features", {}) if noted else {}
    names = {
        name: tuple(map(str, feature["names"]))
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    return _arrow_columns(path, table), names


def _arrow_columns(path: str, table: Any) -> dict[str, np.ndarray]:
    """Return the columns of a typed table: numbers with NaN for nulls, or objects."""
    import pyarrow as pa

    _require_distinct(path, table.column_names)
    return {
        name: _objects(table.column(name))
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind))
        or table.column(name).null_count
        else table.column(name).to_numpy()
        for name, kind in zip(table.column_names, table.schema.types)
    }


def _objects(column: Any) -> np.ndarray:
    found = np.empty(len(column), object)
    found[:] = column.to_pylist()
    return found
