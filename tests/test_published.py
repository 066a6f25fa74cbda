"""The published tables: readable, sourced, numbers in range."""

from __future__ import annotations

import csv
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "published"
TABLES = sorted(FOLDER.glob("*.csv"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_row_has_numbers_and_a_source(path):
    rows = list(csv.DictReader(path.open()))
    (*_, number, source) = rows[0]
    assert source == "source" and len(rows) >= 10
    for row in rows:
        assert len(row["source"]) > 20 and None not in row and None not in row.values()
        assert 0 <= float(row[number]) < 1e4
    keys = [tuple(row.values()) for row in rows]
    assert len(set(keys)) == len(keys)


def test_flap_table_1_is_complete():
    rows = list(csv.DictReader((FOLDER / "flap_table1.csv").open()))
    assert len(rows) == 13 * 3 * 2
    cell = {
        (r["aggregation"], r["rejection"], r["mode"], r["attack"], r["defense"]): float(
            r["error_percent"]
        )
        for r in rows
    }
    assert cell["trimmed_mean", "none", "perfect", "label-flip", "none"] == 30.0
    assert cell["trimmed_mean", "none", "perfect", "label-flip", "flap"] == 17.5
