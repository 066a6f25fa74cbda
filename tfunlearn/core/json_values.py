"""Conversion of JSON values to records: frozen dataclasses with annotated fields."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from typing import Any, TypeVar

from tfunlearn.core.fields import alternatives

T = TypeVar("T")
INFINITE = {"inf": float("inf"), "-inf": float("-inf")}  # JSON has no infinity


def from_json(kind: type[T], value: Any) -> T:
    """Return a JSON value as a value of a type.

    Args:
        kind: a dataclass, `list[X]`, `dict[str, X]`, `X | None`, or a plain type. A missing field
            of a dataclass gets its default. A `float` may be stored as text: `inf` or `-inf`.
        value: the JSON value, as `json.loads` returns it.

    Raises:
        TypeError: a field is missing or unknown, or an object or list is something else. Other
            values are not checked.
    """
    return _convert(kind, value)


def to_json(value: Any) -> Any:
    """Return JSON values with infinity replaced by text and NaN by None, which JSON lacks."""
    if isinstance(value, dict):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _convert(kind: Any, value: Any) -> Any:
    kinds = alternatives(kind)
    if type(None) in kinds and value is None:
        return None
    kind = next(one for one in kinds if one is not type(None))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return [_convert(arguments[0], part) for part in _of_type(list, value)]
    if origin is dict:
        return {name: _convert(arguments[1], part) for name, part in _of_type(dict, value).items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(
            **{
                name: _convert(hints[name], part) if name in hints else part
                for name, part in _of_type(dict, value).items()
            }
        )
    if kind is float and isinstance(value, str):
        if value not in INFINITE:
            raise TypeError(f"a number is expected, not {value[:40]!r}")
        return INFINITE[value]
    return value


def _of_type(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise TypeError(f"{wanted} is expected, not a {type(value).__name__}")
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
