"""Labels of any kind, whole numbers or text, as classes 0..C-1 with names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError

MOST_CLASSES = 10_000
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+\.[0-9]*")
Place = Callable[[int], str]  # row -> where it stands, such as `patients.csv, row 17`


def as_texts(values: Any, place: Place, field: str = "label", *, spaces: bool = False) -> list[str]:
    """Return labels as text: `1.0` and True are `1`, bytes are decoded.

    Spaces around a text are removed; with `spaces`, a text of spaces alone is a label (as in
    LEAF's Shakespeare, whose labels are characters).

    Raises:
        UserError: a label is missing, or a number with a fractional part.
    """
    found = []
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, (bool, np.bool_)):
            value = int(value)
        text = "" if value is None else str(value).strip()
        if spaces and isinstance(value, str) and not text:
            text = value
        if text == "" or text.lower() == "nan":
            raise UserError(f"dataset: {place(row)}: no {field}; give one, or remove the row")
        if _DECIMAL.fullmatch(text):
            whole, _, rest = text.partition(".")
            if rest.strip("0"):
                raise UserError(
                    f"dataset: {place(row)}: {field} must be a class, a whole number or text; got "
                    f"{text}, a measurement; make classes of it, or name another label column"
                )
            text = whole
        found.append(text)
    return found


def names_of_clients(values: Any, place: Place, field: str) -> np.ndarray:
    """Return names of clients as text, as they are but for spaces around them.

    Whole numbers that are stored as floats lose their `.0`.

    Raises:
        UserError: a name is missing.
    """
    found = []
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, (float, np.floating)) and np.isfinite(value) and value == int(value):
            value = int(value)
        text = "" if value is None else str(value).strip()
        if text in ("", "nan"):
            raise UserError(f"dataset: {place(row)}: no {field}; give one, or remove the row")
        found.append(text)
    return np.array(found, dtype=str)


def classes_of_labels(labels: Sequence[str], what: str) -> list[str]:
    """Return the distinct labels, sorted; as numbers if all are whole numbers.

    Raises:
        UserError: fewer than two classes, or so many that the labels are not classes.
    """
    found = sorted(set(labels), key=_sort_key)
    if len(found) < 2:
        got = f"only {found[0]!r}" if found else "no examples"
        raise UserError(f"dataset: {what} must have at least two classes; got {got}")
    if len(found) > MOST_CLASSES or (len(found) > 20 and 2 * len(found) > len(labels)):
        raise UserError(
            f"dataset: labels of {what} must be classes; got {len(found)} different ones for "
            f"{len(labels)} examples; make classes of them, or name another label column"
        )
    return found


def named_classes(labels: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the name of each label, by the names of the numbers from 0, where there are some."""
    return tuple(
        names[int(label)]
        if names and _WHOLE.fullmatch(label) and 0 <= int(label) < len(names)
        else label
        for label in labels
    )


def encode(labels: Sequence[str], classes: Sequence[str], place: Place) -> np.ndarray:
    """Return labels as numbers of classes, `(n,)` int32.

    Raises:
        UserError: a label that is none of the classes, such as a class only in the test set.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in numbers:
            raise UserError(
                f"dataset: {place(row)}: the class {label!r} has no training example; the training "
                f"data have {', '.join(classes[:8])}{', ...' if len(classes) > 8 else ''}; add "
                "some, or remove the class"
            )
    return np.array([numbers[label] for label in labels], np.int32)


def _sort_key(label: str) -> tuple:
    return (0, int(label), label) if _WHOLE.fullmatch(label) else (1, 0, label)
