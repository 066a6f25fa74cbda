"""Columns of tables as features: numbers standardized, categories one-hot.

What is fitted (means, deviations, categories) is fitted on the training examples only, in float64,
and is plain JSON: the same features are made of it wherever the run is opened.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.datasets.class_names import Place

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
MOST_CATEGORIES = 1000
FEW_ROWS = 30  # below, different whole numbers may be a measurement
_LEADING_ZERO = re.compile(r"[+-]?0\d+")  # an identifier such as a postal code, not a number
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d*,\d+)")
_MOSTLY = 0.9  # share of numbers from which another value is a mistake, not a category


def fit_columns(
    columns: Mapping[str, np.ndarray], place: Place, *, categorical: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return how each column becomes features, fitted on the given (training) rows.

    Args:
        columns: name to values `(n,)`, numbers or text.
        place: names a row in messages.
        categorical: columns of numbers that are categories.

    Returns:
        For each column `{"column", "kind": "number", "mean", "deviation"}` or
        `{"column", "kind": "category", "values"}`.

    Raises:
        UserError: no columns, a missing value, text among numbers, or too many categories.
    """
    for name in categorical:
        if name not in columns:
            raise UserError(
                f"categorical_columns: must be columns of features, such as "
                f"{', '.join(list(columns)[:8])}; got {name!r}"
            )
    if not columns:
        raise UserError("dataset: must have at least one column of features; got none")
    return [_fit(name, values, place, name in categorical) for name, values in columns.items()]


def apply_columns(
    fitted: Sequence[Mapping[str, Any]], columns: Mapping[str, np.ndarray], place: Place
) -> np.ndarray:
    """Return the features of rows, float32 `(n, d)`, by what `fit_columns` returned.

    Raises:
        UserError: a missing column, a missing value, text in place of a number, or a category
            without a training example.
    """
    parts = []
    for one in fitted:
        name = one["column"]
        if name not in columns:
            raise UserError(
                f"dataset: {place(-1)}: must have the column {name!r}; got "
                f"{', '.join(list(columns)[:12])}"
            )
        if one["kind"] == "number":
            values = _numbers(name, columns[name], place)
            parts.append(((values - one["mean"]) / one["deviation"])[:, None])
        else:
            parts.append(_one_hot(name, columns[name], one["values"], place))
    return np.concatenate(parts, axis=1).astype(np.float32)


def feature_names(fitted: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the name of each feature: the column, or `column=category`."""
    names = []
    for one in fitted:
        own = [""] if one["kind"] == "number" else [f"={value}" for value in one["values"]]
        names += [f"{one['column']}{ending}" for ending in own]
    return tuple(names)


def _fit(name: str, values: np.ndarray, place: Place, is_category: bool) -> dict[str, Any]:
    if not is_category and _is_numeric(name, values, place):
        numbers = _numbers(name, values, place)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(numbers.mean()), float(numbers.std())
        if not np.isfinite(deviation):
            raise UserError(
                f"dataset: {place(-1)}: column {name!r} must have numbers that can be squared; got "
                f"up to {np.abs(numbers).max():g}; scale them"
            )
        if not _has_points(values) and _counts_rows(numbers):
            raise UserError(
                f"dataset: {place(-1)}: column {name!r} has a different whole number in each of "
                f"{len(numbers)} rows, nearly without gaps, as an identifier has; leave it out "
                f"with --ignored-columns {shlex.quote(name)}, or name it with --id-column; if it "
                "is a measurement, write it with a decimal point"
            )
        constant = deviation <= 1e-12 * float(np.abs(numbers).max())  # rounding, or none
        return dict(
            column=name,
            kind="number",
            mean=float(numbers[0]) if constant else mean,
            deviation=1.0 if constant else deviation,  # a constant becomes 0
        )
    texts = _texts(name, values, place)
    found = sorted(set(texts))
    comma = next((row for row, text in enumerate(texts) if "," in text), None)
    if comma is not None and not is_category and all(map(_DECIMAL_COMMA.fullmatch, found)):
        raise UserError(
            f"dataset: {place(comma)}: column {name!r} must have numbers with a decimal point; got "
            f"{texts[comma]!r}; write {texts[comma].replace(',', '.')} for a decimal comma, "
            f"{texts[comma].replace(',', '')} for thousands, or name the column with "
            "--categorical-columns"
        )
    if len(found) > MOST_CATEGORIES or (len(found) > 50 and 2 * len(found) > len(texts)):
        raise UserError(
            f"dataset: {place(-1)}: column {name!r} has {len(found)} different texts in "
            f"{len(texts)} rows, as an identifier has; leave it out with --ignored-columns "
            f"{shlex.quote(name)}, "
            f"or name it with --id-column, --client-column or --text-column"
        )
    return dict(column=name, kind="category", values=found)


def _has_points(values: np.ndarray) -> bool:
    """Return whether a column was written with decimal points."""
    return values.dtype.kind == "f" or any(
        isinstance(value, float) or "." in str(value) for value in values
    )


def _counts_rows(numbers: np.ndarray) -> bool:
    """Return whether a column is a numbering of the rows: whole, all different, few gaps."""
    if len(numbers) < FEW_ROWS or (numbers % 1).any() or len(np.unique(numbers)) < len(numbers):
        return False
    return float(np.ptp(numbers)) < 2 * len(numbers)


def _is_numeric(name: str, values: np.ndarray, place: Place) -> bool:
    """Return whether a column holds numbers.

    Raises:
        UserError: nearly all values are numbers, but not all.
    """
    if values.dtype.kind in "iuf":
        return True
    known = [row for row, value in enumerate(values) if not _is_missing(value)]
    numbers = [_number(values[row]) is not None for row in known]
    if all(numbers):
        return bool(known) and not any(_LEADING_ZERO.fullmatch(str(values[row])) for row in known)
    if sum(numbers) >= _MOSTLY * len(known):
        row = known[numbers.index(False)]
        raise UserError(
            f"dataset: {place(row)}: column {name!r} must be a number, as in the other rows; got "
            f"{str(values[row])[:40]!r}; correct it, or name the column with --categorical-columns"
        )
    return False


def _numbers(name: str, values: np.ndarray, place: Place) -> np.ndarray:
    """Return a column as float64, all finite."""
    if values.dtype.kind in "biuf":
        found = values.astype(np.float64)
    else:
        found = np.array([_float(value) for value in values], np.float64)
    odd = np.flatnonzero(~np.isfinite(found))
    if len(odd):
        row = int(odd[0])
        missing = _is_missing(values[row])
        text = values.dtype.kind not in "biuf" and _number(values[row]) is None
        what = "a value" if missing else "a number" if text else "a finite number"
        more = f" ({len(odd)} rows are like this)" if len(odd) > 1 else ""
        raise UserError(
            f"dataset: {place(row)}: column {name!r} must have {what}; got "
            f"{str(values[row])[:40]!r}{more}; fill it, remove the row, or leave the column out "
            f"with --ignored-columns {shlex.quote(name)}"
        )
    return found


def _texts(name: str, values: np.ndarray, place: Place) -> list[str]:
    """Return a column as texts; missing values are not allowed."""
    found = []
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and value != value) or str(value) == "":
            raise UserError(
                f"dataset: {place(row)}: column {name!r} must have a value; got none; fill it, "
                "remove the row, or leave the column out with --ignored-columns "
                f"{shlex.quote(name)}"
            )
        found.append(str(value))
    return found


def _one_hot(name: str, values: np.ndarray, known: Sequence[str], place: Place) -> np.ndarray:
    numbers = {value: number for number, value in enumerate(known)}
    found = np.zeros((len(values), len(known)))
    for row, text in enumerate(_texts(name, values, place)):
        if text not in numbers:
            raise UserError(
                f"dataset: {place(row)}: column {name!r} has the category {text[:40]!r}, which no "
                f"training example has ({', '.join(known[:8])}"
                f"{', ...' if len(known) > 8 else ''}); add one, or remove the row"
            )
        found[row, numbers[text]] = 1
    return found


def _is_missing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in MISSING


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _float(value: Any) -> float:
    found = None if _is_missing(value) else _number(value)
    return np.nan if found is None else found
