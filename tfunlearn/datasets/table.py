"""Tables and texts of one's own: CSV, Parquet, JSON lines, and saved Hugging Face folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, nearest, refuse, require
from tfunlearn.core.fields import option
from tfunlearn.datasets.class_names import (
    as_texts,
    classes_of_labels,
    encode,
    named_classes,
    names_of_clients,
)
from tfunlearn.datasets.columns import apply_columns, feature_names, fit_columns
from tfunlearn.datasets.held_out import HeldOutSettings, held_out, refuse_share
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.prepared import checksums, require_file, require_same_files
from tfunlearn.datasets.table_reading import RawTable, read_table
from tfunlearn.datasets.tokens import (
    TextSettings,
    apply_text,
    fit_text,
    require_texts,
    vocabulary_of,
)


@dataclass(frozen=True)
class TableSettings(TextSettings, HeldOutSettings):
    """Settings of tables; with a text column, the text is the only feature."""

    label_column: str = option("label", "Column of the classes.")
    client_column: str | None = option(
        None, "Column of the natural clients (hospital, author, ...), for the partition writers."
    )
    id_column: str | None = option(
        None, "Column of the examples' identifiers, for requests by identifier; must be unique."
    )
    text_column: str | None = option(
        None, "Column of text, which becomes token ids; without it, columns are a table."
    )
    categorical_columns: tuple[str, ...] = option((), "Columns of numbers that are categories.")
    ignored_columns: tuple[str, ...] = option((), "Columns that are not used.")
    test_file: str | None = option(
        None, "Table of the test examples; none: a share of every class is held out."
    )
    delimiter: str = option(",", "Character between the columns of a CSV file; TAB for tabs.")

    def __post_init__(self):
        TextSettings.__post_init__(self)
        HeldOutSettings.__post_init__(self)
        mark = self.delimiter
        require("delimiter", mark, mark == "TAB" or len(mark) == 1, "one character, or TAB")
        for field in ("categorical_columns", "ignored_columns"):
            value = getattr(self, field)
            refuse(field, value, not value or self.text_column is None, "with --text-column")
        for field in dataclasses.fields(TextSettings):
            value = getattr(self, field.name)
            used = self.text_column is not None or value == field.default
            refuse(field.name, value, used, "without --text-column")
        if self.test_file is not None:
            refuse_share(self, "--test-file")
            object.__setattr__(self, "test_file", require_file(self.test_file, "test_file"))


def load_table(path: str, own: TableSettings, prepared: Mapping | None = None) -> LabeledData:
    """Return the data of a table.

    Args:
        path: a `.csv`, `.tsv`, `.parquet`, `.jsonl` or `.ndjson` file, or a folder of
            `save_to_disk`.
        own: settings.
        prepared: what a run stored of it; default none, which fits it anew.

    Raises:
        UserError: a file is missing or has changed, or its content does not fit; the message names
            file, row and column.
    """
    sources = [path] if own.test_file is None else [path, own.test_file]
    files = checksums(
        file
        for source in sources
        for file in (_files_in(source) if os.path.isdir(source) else [require_file(source)])
    )
    if prepared is not None:
        require_same_files(prepared["files"], files)
    mark = "\t" if own.delimiter == "TAB" else own.delimiter
    table = read_table(path, mark)
    if own.test_file is None:
        parts = held_out_parts(table, own)
    else:
        test = read_table(own.test_file, mark)
        parts = [(table, np.arange(len(table))), (test, np.arange(len(test)))]
    return data_of_tables(os.path.basename(path), parts, own, files, prepared)


def held_out_parts(table: RawTable, own: TableSettings) -> list[tuple[RawTable, np.ndarray]]:
    """Return a table with its training rows, and with the test rows that are held out of it."""
    labels = _labels(table, own, np.arange(len(table)))
    classes_of_labels(labels, os.path.basename(table.path))  # are they classes?
    mask = held_out(np.array(labels), own.test_share)
    return [(table, np.flatnonzero(~mask)), (table, np.flatnonzero(mask))]


def data_of_tables(
    name: str,
    parts: list[tuple[RawTable, np.ndarray]],
    own: TableSettings,
    files: Mapping[str, str],
    prepared: Mapping | None = None,
) -> LabeledData:
    """Return the data of training and test rows of tables.

    Args:
        name: name of the data.
        parts: table and rows of the training examples, then of the test examples.
        own: settings.
        files: checksums of the files, which the run stores.
        prepared: what a run stored; default none.
    """
    (table, rows), _ = parts
    labels = [_labels(each, own, chosen) for each, chosen in parts]
    require("test_share", own.test_share, len(parts[1][1]) > 0, "enough for one test example")
    classes = (
        classes_of_labels([*labels[0], *labels[1]], name)
        if prepared is None
        else list(prepared["classes"])
    )
    if prepared is None:
        known = set(labels[0])
        classes = [label for label in classes if label in known]
    make = _make_text if own.text_column is not None else _make_table
    features, fitted, more = make(parts, own, None if prepared is None else prepared["features"])
    numbers = [
        encode(found, classes, each.place(chosen)) for found, (each, chosen) in zip(labels, parts)
    ]
    names = table.class_names.get(own.label_column)
    return LabeledData(
        name,
        features[0],
        numbers[0],
        features[1],
        numbers[1],
        len(classes),
        writers=_client_names(table, own, rows),
        class_names=named_classes(classes, names),
        ids=_ids(table, own, rows),
        test_ids=_test_ids(parts, own),
        columns=_grouping_columns(table, own, rows, fitted),
        prepared=dict(
            files=dict(files), classes=classes, features=fitted, label_column=own.label_column
        ),
        **more,
    )


def _make_text(
    parts, own: TableSettings, fitted: Mapping | None
) -> tuple[list, Any, dict[str, Any]]:
    assert own.text_column is not None
    texts = [_column(table, own.text_column, "text_column")[rows] for table, rows in parts]
    places = [table.place(rows) for table, rows in parts]
    if fitted is None:
        require_texts(texts[0], places[0])
        fitted = fit_text(texts[0].tolist(), own)
    found = [apply_text(fitted, text.tolist(), place) for text, place in zip(texts, places)]
    return found, fitted, dict(vocabulary=vocabulary_of(fitted))


def _make_table(parts, own: TableSettings, fitted: Any) -> tuple[list, Any, dict[str, Any]]:
    (table, rows), _ = parts
    special = {own.label_column, own.client_column, own.id_column, *own.ignored_columns}
    for name in own.ignored_columns:
        _column(table, name, "ignored_columns")
    used = [name for name in table.columns if name not in special]
    if fitted is None:
        fitted = fit_columns(
            {name: table.columns[name][rows] for name in used},
            table.place(rows),
            categorical=own.categorical_columns,
        )
    found = [
        apply_columns(
            fitted,
            {name: values[own_rows] for name, values in each.columns.items()},
            each.place(own_rows),
        )
        for each, own_rows in parts
    ]
    return found, fitted, dict(feature_names=feature_names(fitted))


def _column(table: RawTable, name: str, field: str) -> np.ndarray:
    """Return a column.

    Raises:
        UserError: there is none of this name; the nearest one is named.
    """
    if name not in table.columns:
        known = list(table.columns)
        hint, flag = nearest(name, known, least=0.7), field.replace("_", "-")
        each = ", once per column" if "," in name else ""
        raise UserError(
            f"{field}: {os.path.basename(table.path)} has no column {name!r}"
            f"{hint or f'; name one with --{flag}{each}'} "
            f"(columns: {', '.join(known[:20])}"
            f"{', ...' if len(known) > 20 else ''})"
        )
    return table.columns[name]


def _labels(table: RawTable, own: TableSettings, rows: np.ndarray) -> list[str]:
    return as_texts(_column(table, own.label_column, "label_column")[rows], table.place(rows))


def _client_names(table: RawTable, own: TableSettings, rows: np.ndarray) -> np.ndarray | None:
    if own.client_column is None:
        return None
    values = _column(table, own.client_column, "client_column")[rows]
    return names_of_clients(values, table.place(rows), own.client_column)


def _ids(table: RawTable, own: TableSettings, rows: np.ndarray) -> np.ndarray | None:
    """Return the identifiers of the training examples, which must be unique in the table."""
    if own.id_column is None:
        return None
    found = _id_texts(_column(table, own.id_column, "id_column"))
    seen: dict[str, int] = {}
    for row, name in enumerate(found):
        if not name:
            raise UserError(f"dataset: {table.place()(row)}: no {own.id_column}; give one")
        if name in seen:
            raise UserError(
                f"id_column: {own.id_column} must be different in every row of "
                f"{os.path.basename(table.path)}; got {name!r} in rows {seen[name] + 1} and "
                f"{row + 1}"
            )
        seen[name] = row
    return np.array(found)[rows]


def _id_texts(values: np.ndarray) -> list[str]:
    """Return identifiers as text without spaces around them; whole floats without `.0`."""
    return [
        ""
        if value is None
        else str(int(value) if isinstance(value, float) and value == value // 1 else value).strip()
        for value in values
    ]


def _test_ids(parts: list[tuple[RawTable, np.ndarray]], own: TableSettings) -> np.ndarray | None:
    """Return the identifiers of the test examples, None if their table has none."""
    test, rows = parts[1]
    if own.id_column is None or own.id_column not in test.columns:
        return None
    return np.array(_id_texts(test.columns[own.id_column][rows]))


def _grouping_columns(
    table: RawTable, own: TableSettings, rows: np.ndarray, fitted: Any
) -> dict[str, np.ndarray]:
    """Return the columns that can be clients, as text: all but numbers, identifiers and labels."""
    numbers = (
        {one["column"] for one in fitted if one["kind"] == "number"}
        if (isinstance(fitted, list))
        else set()
    )
    names = [
        name
        for name, values in table.columns.items()
        if name not in (own.text_column, own.id_column, own.label_column)
        and (name == own.client_column or (values.dtype.kind == "O" and name not in numbers))
    ]
    return {
        name: np.array(["" if value is None else str(value) for value in table.columns[name][rows]])
        for name in names
    }


def _files_in(folder: str) -> list[str]:
    return sorted(
        os.path.join(folder, name)
        for name in os.listdir(folder)
        if name.endswith((".arrow", ".json"))
    )
