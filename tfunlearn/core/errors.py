"""User-facing validation errors: one line with field, allowed values and received value."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

T = TypeVar("T")
LONGEST = 200  # characters quoted from another library's error message


class UserError(ValueError):
    """An invalid request; the command line prints the message and exits with code 2."""


class WorkerError(RuntimeError):
    """The process that runs federated computations failed to start or died."""


class Terminated(SystemExit):
    """A signal that ends the program, as opposed to `exit()` in a user's function."""


class FailedRun(RuntimeError):
    """A run that failed although the request was valid.

    The command line prints the cause and exits with code 1.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's type if the message is empty.

    Lines longer than `LONGEST` are cut at a word boundary.
    """
    try:
        text = str(error)
    except Exception:  # a third-party error that fails to provide its text
        text = ""
    line = (text.strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rpartition(' ')[0]} ..."


def nearest(word: str, known: Iterable[str], *, least: float = 0.5) -> str:
    """Return a hint such as `; did you mean 'iid'?`, or an empty string without a close match."""
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=least)
    return f"; did you mean '{match[0]}'?" if match else ""


def choose(field: str, name: str, known: Mapping[str, T]) -> T:
    """Return `known[name]`.

    Args:
        field: name of the setting in the user's terms, for the message.
        name: the name given by the user.
        known: mapping from name to value.

    Raises:
        UserError: `name` is not in `known`; the message lists the names and the nearest one.
    """
    if isinstance(name, str) and name in known:
        return known[name]
    raise UserError(
        f"{field}: unknown name '{name}'{nearest(name, known)} (known: {', '.join(sorted(known))})"
    )


def require_fraction(field: str, value: float) -> float:
    """Return `value` as a float if it lies in [0, 1), the range of every pruning fraction.

    Raises:
        UserError: `value` is a bool, not a number, or outside [0, 1).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise UserError(f"{field}: must be a number >= 0 and < 1; got {value!r}")
    return float(value)


def require(field: str, value, holds: bool, allowed: str) -> None:
    """Raise a `UserError` naming field, allowed values and value, unless `holds` is true."""
    if not holds:
        raise UserError(f"{field}: must be {allowed}; got {value!r}")


def refuse(field: str, value, holds: bool, reason: str) -> None:
    """Raise a `UserError` for a setting that does not apply here, unless `holds` is true.

    Args:
        field: name of the setting in the user's terms.
        value: the value given by the user.
        holds: whether the setting applies, or was not given.
        reason: text that follows "not allowed", such as "with mode centralized".
    """
    if not holds:
        raise UserError(f"{field}: not allowed {reason}; got {value!r}")


def require_flags(**flags: bool) -> None:
    """Raise a `UserError` unless all values are True or False."""
    for name, value in flags.items():
        require(name, value, isinstance(value, bool), "True or False")


def require_real(field: str, value, holds, allowed: str) -> None:
    """Raise a `UserError` unless `value` is finite, not a bool, and `holds(value)` is true."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    require(field, value, real and math.isfinite(value) and bool(holds(value)), allowed)


def require_whole(field: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise a `UserError` unless `value` is an integer, not a bool, from `least` to `most`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    allowed = (
        f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"
    )
    require(
        field,
        value,
        whole and least <= cast(int, value) and (most is None or value <= most),
        allowed,
    )


def require_count_or_fraction(field: str, value: int | float) -> None:
    """Raise a `UserError` unless an int `value` is >= 0 or a float `value` lies in [0.0, 1.0]."""
    holds = 0 <= value <= 1 if isinstance(value, float) else value >= 0
    require(field, value, holds, "a count (whole number >= 0) or a fraction from 0.0 to 1.0")
