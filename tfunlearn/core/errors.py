"""Errors that are the user's to mend, worded as one line: field, value, what is allowed."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
LONGEST = 200  # characters of other libraries' errors within ours


class UserError(ValueError):
    """A mistake in what was asked for; the command line prints it and ends with code 2."""


class WorkerError(RuntimeError):
    """The process that runs federated computations did not start, or died."""


class FailedRun(RuntimeError):
    """A run that came to nothing although it was asked for rightly; the command line prints the
    cause and ends with code 1."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, cut behind a word if it is long, else its type."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rpartition(' ')[0]} ..."


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns a hint such as `; did you mean 'iid'?`, empty when nothing is close."""
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""


def choose(field: str, name: str, known: Mapping[str, T]) -> T:
    """Returns `known[name]`.

    Args:
        field: what is chosen, as the user calls it, for the message.
        name: the user's word.
        known: the family, a mapping from name to member.

    Raises:
        UserError: `name` is not in `known`; the message lists the names and the nearest one.
    """
    if isinstance(name, str) and name in known:
        return known[name]
    raise UserError(
        f"{field}: unknown name '{name}'{nearest(name, known)} (known: {', '.join(sorted(known))})"
    )


def require_fraction(field: str, value: float) -> float:
    """Returns `value` if it lies in [0, 1), the range of every pruning fraction."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise UserError(f"{field}: {value!r} is not allowed; allowed is 0 <= {field} < 1")
    return float(value)


def require(field: str, value, holds: bool, allowed: str) -> None:
    """Raises a `UserError` that names field, value and what is allowed, unless `holds`."""
    if not holds:
        raise UserError(f"{field}: {value!r} is not allowed; allowed is {allowed}")


def require_flags(**flags: bool) -> None:
    """Raises a `UserError` unless all values are True or False."""
    for name, value in flags.items():
        require(name, value, isinstance(value, bool), "True or False")


def require_real(field: str, value, holds, allowed: str) -> None:
    """Raises a `UserError` unless `value` is a finite number, no bool, for which `holds(value)`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    require(field, value, real and math.isfinite(value) and bool(holds(value)), allowed)


def require_whole(field: str, value, least: int, most: int | None = None) -> None:
    """Raises a `UserError` unless `value` is a whole number, no bool, from `least` to `most`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    allowed = f"a whole number >= {least}" if most is None else f"a whole number, {least} to {most}"
    require(field, value, whole and least <= value and (most is None or value <= most), allowed)


def require_count_or_fraction(field: str, value: int | float) -> None:
    """Checks a number that counts if it is whole, and is a share if it has a decimal point."""
    holds = 0 <= value <= 1 if isinstance(value, float) else value >= 0
    require(field, value, holds, "a count (whole number >= 0) or a fraction from 0.0 to 1.0")
