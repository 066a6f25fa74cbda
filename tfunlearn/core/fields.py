"""Settings as frozen dataclasses: each field has a default, a type and a help text."""

from __future__ import annotations

import dataclasses
import errno
import functools
import inspect
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tfunlearn.core.errors import FailedRun, Terminated, UserError, WorkerError, first_line, nearest

SIMPLE = (bool, int, float, str)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of the machine, not of the function
_WORDS = {
    type(None): "null",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def option(default: Any, help: str) -> Any:
    """Declare a field with its help text for the command line."""
    return dataclasses.field(default=default, metadata={"help": help})


class ConfigField(NamedTuple):
    """Public description of a settings field.

    Attributes:
        default: default value.
        help: help text for the command line.
        kinds: allowed types of the value; for a list of names, the type of a name.
        many: whether the value is a list of names.
    """

    default: Any
    help: str
    kinds: tuple[type, ...]
    many: bool


def fields_of(section: type) -> dict[str, ConfigField]:
    """Return the fields of a settings dataclass by name.

    Fields that are dataclasses themselves and fields without help text are omitted.
    """
    found, hints = {}, typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        if "help" in field.metadata and not dataclasses.is_dataclass(hint):
            many = typing.get_origin(hint) is tuple
            kinds = (str,) if many else typing.get_args(hint) or (hint,)
            found[field.name] = ConfigField(field.default, field.metadata["help"], kinds, many)
    return found


def typed_value(name: str, value: Any, field: ConfigField) -> Any:
    """Return `value` as the field's type.

    An int is accepted as a float, and a single name as a list of names; `none` is dropped from
    lists.

    Raises:
        UserError: wrong type.
    """
    if field.many:
        words = (value,) if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words):
            return tuple(word for word in words if word != "none")
    elif isinstance(value, bool):
        if bool in field.kinds:
            return value
    elif isinstance(value, field.kinds):
        if not isinstance(value, str) or _is_plain(value):
            return value
    elif float in field.kinds and isinstance(value, int) and abs(value) < 2**53:
        return float(value)
    allowed = "a list of names" if field.many else " or ".join(_WORDS[kind] for kind in field.kinds)
    raise UserError(f"{name}: must be {allowed}; got {value!r}")


def check_types(values: Mapping, known: Mapping[str, ConfigField]) -> dict[str, Any]:
    """Return field values, each as its field's type.

    Raises:
        UserError: unknown field (the nearest one is named), or wrong type.
    """
    for name in values:
        if name not in known:
            raise UserError(f"config: unknown field '{name}'{nearest(name, known)}")
    return {name: typed_value(name, value, known[name]) for name, value in values.items()}


def summary_of(function: Callable, name: str) -> str:
    """Return the first line of a function's docstring; `name` if it has none."""
    return (inspect.getdoc(function) or name).partition("\n")[0]


def require_positional(function: Callable, count: int, takes: str) -> None:
    """Check that a user's function can be called with `count` positional arguments.

    Args:
        function: the user's function.
        count: number of positional arguments that it is called with.
        takes: required signature, for the message.

    Raises:
        UserError: the function takes fewer, needs more, or has no readable signature.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UserError(f"{name}: must be {takes}; got a function without a readable signature")
    places = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in places if p.default is p.empty]
    enough = len(places) >= count or any(p.kind is p.VAR_POSITIONAL for p in known)
    if len(places) > count or len(needed) > count or not enough:
        got = ", ".join(p.name for p in places)
        raise UserError(
            f"{name}: must be {takes}, with {count} positional "
            f"parameter{'s' if count > 1 else ''}, and everything else after `*`; got ({got})"
        )


def reporting(field: str, function: Callable, name: str | None = None) -> Callable:
    """Return a user's function whose exceptions are raised as a `UserError` of one line.

    If it returns a function, such as the stage of a defense, that one is treated likewise.

    Args:
        field: configuration field that names the function.
        function: the user's function.
        name: its name in messages; default its own.
    """
    name = name or getattr(function, "__name__", type(function).__name__)
    code = getattr(function, "__code__", None)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = function(*args, **kwargs)
        except (UserError, WorkerError, FailedRun, Terminated, MemoryError):
            raise
        except (Exception, SystemExit, GeneratorExit) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            lines = [
                frame.lineno
                for frame in traceback.extract_tb(error.__traceback__)
                if code is not None and frame.filename == code.co_filename
            ]
            place = f"{code.co_filename}:{lines[-1]}: " if code is not None and lines else ""
            raise UserError(
                f"{field}: {name} raised {type(error).__name__} ({place}{first_line(error)})"
            ) from error
        return reporting(field, found, name) if inspect.isfunction(found) else found

    return call


def settings_of(function: Callable, *, given: tuple[str, ...] = ()) -> type:
    """Return a settings dataclass made of a function's keyword-only parameters.

    Each parameter needs a default of a plain type (bool, int, float, str, or None with an
    annotation such as `float | None`). The help text of a setting names only the parameter and the
    function.

    Args:
        function: the user's function.
        given: keyword-only parameters that the caller fills in (`f`, `rng`); omitted.

    Raises:
        UserError: a parameter has no default, or another type.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # annotations with names that are undefined at run time
        hints = {}
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name in given:
            continue
        default, hint = parameter.default, hints.get(parameter.name, type(parameter.default))
        kinds = alternatives(hint)
        if default is parameter.empty:
            raise UserError(
                f"{name}: the parameter {parameter.name!r} has no default; every "
                "keyword-only parameter needs one"
            )
        if not are_plain(kinds):
            raise UserError(
                f"{name}: the type of parameter {parameter.name!r} must be bool, int, float or "
                f"str, optionally with None; got {hint}"
            )
        if not is_default(default, kinds):
            raise UserError(
                f"{name}: the default of parameter {parameter.name!r} must be of its type "
                f"{getattr(hint, '__name__', hint)}; got {default!r}"
            )
        found.append((parameter.name, hint, option(default, f"{parameter.name} of {name}.")))
    return dataclasses.make_dataclass(
        f"{name.title().replace('_', '')}Settings", found, frozen=True
    )


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union such as `float | None`; any other type alone."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return typing.get_args(hint)
    return (hint,)


def are_plain(kinds: tuple) -> bool:
    """Return whether flags and files can hold values of the types: plain ones, also with None."""
    return set(kinds) <= {*SIMPLE, type(None)} and set(kinds) != {type(None)}


def is_default(value: Any, kinds: tuple) -> bool:
    """Return whether a default has one of a setting's types, so that files preserve it.

    A whole number is accepted as a float. Subclasses, such as NumPy's numbers, are not accepted,
    since JSON lacks them.
    """
    if type(value) is int and float in kinds:
        return abs(value) < 2**53
    return type(value) in kinds


def _is_plain(text: str) -> bool:
    """Return whether a string is valid UTF-8 without null characters, as in file names."""
    return "\0" not in text and text.encode("utf-8", "ignore").decode() == text
