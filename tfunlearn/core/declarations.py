"""Checks of declarations of methods: types of fields, and settings that files can hold."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import sys
import typing
from collections.abc import Callable, Collection
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.fields import alternatives, are_plain, is_default

TRAIN_FLAGS = (
    *("allow_code", "config", "detect", "detector", "help", "last", "out", "preset", "then"),
    *("worker", "workers"),
)
# tests/cli/test_method_flags.py compares both with the commands.
UNLEARN_FLAGS = (
    *("allow_code", "classes", "client", "clients", "config", "data_dir", "detected", "detector"),
    *("engine", "examples", "help", "malicious", "out", "preset", "run"),
)
# Keys of a run's config.json that are notes, not fields.
FILE_WORDS = (
    *("versions", "compute", "continued", "weights", "model_sha256", "content_sha256", "origins"),
)


def require_declaration(method: Any) -> None:
    """Check that every field of a method's declaration is of its annotated type.

    Raises:
        UserError: a field is of another type, for example a number in place of a function.
    """
    hints = _hints(type(method))
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        kinds = alternatives(hints[field.name])
        if any(_fits(value, kind) for kind in kinds):
            continue
        wanted = " or ".join(_word(kind) for kind in kinds)
        raise UserError(
            f"{field.name}: must be {wanted} in the declaration of {method.name}; got {value!r}"
        )


def require_settings(settings: type, owner: str, flags: Collection[str] = ()) -> None:
    """Check that settings can be given by flags and stored in files.

    Args:
        settings: a dataclass.
        owner: name of its method, for messages.
        flags: parameters of the command whose flags the settings become.

    Raises:
        UserError: a field is not declared by `option`, has a type that files cannot hold, a default
            of another type than annotated, or a name that is in use.
    """
    try:
        hints = typing.get_type_hints(settings)
    except Exception as error:  # a name that is undefined at run time, or not a type
        raise UserError(f"settings of {owner}: their types cannot be read ({error})") from error
    for field in dataclasses.fields(settings):
        name, hint = field.name, hints[field.name]
        if "help" not in field.metadata or not field.init:
            raise UserError(
                f"settings of {owner}: every field must be declared as option(default, help) in "
                f"{settings.__name__}; got {name!r}"
            )
        if dataclasses.is_dataclass(hint):
            continue
        kinds = alternatives(hint)
        names = hint == tuple[str, ...]
        if not names and not are_plain(kinds):
            raise UserError(
                f"{name}: must be annotated as bool, int, float, str (also with None) or "
                f"tuple[str, ...] in {owner}; got {hint}"
            )
        if not _is_default(field.default, kinds, names):
            raise UserError(
                f"{name}: must have a default of its type {_type_name(hint)} in {owner}; "
                f"got {'none' if field.default is dataclasses.MISSING else repr(field.default)}"
            )
        if (
            name in flags
            or name in FILE_WORDS
            or name != name.lower()
            or name.startswith(("no_", "_"))
        ):
            raise UserError(
                f"{owner} must have settings in lower case, without leading no_ or _, and with "
                f"other names than {', '.join(sorted({*flags, *FILE_WORDS}))}; got {name!r}; "
                "rename it"
            )


def _is_default(value: Any, kinds: tuple, names: bool) -> bool:
    if names:
        return isinstance(value, tuple) and all(type(one) is str for one in value)
    return is_default(value, kinds)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    if origin is collections.abc.Callable:
        return callable(value)
    if origin is float and type(value) is int:
        return True
    if isinstance(origin, type) and origin is not type:
        return isinstance(value, origin)
    return isinstance(value, type) if origin is type else True


def _word(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    words = {
        collections.abc.Callable: "a function",
        str: "text",
        bool: "True or False",
        type: "a class",
        type(None): "None",
    }
    return words.get(origin, f"a {getattr(origin, '__name__', origin)}")


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of a declaration's fields; those that only type checkers know as text."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        names = vars(sys.modules.get(base.__module__, typing))
        for name, text in vars(base).get("__annotations__", {}).items():
            try:
                found[name] = eval(text, dict(names)) if isinstance(text, str) else text  # ours
            except NameError:
                found[name] = Callable if text.startswith("Callable") else Any
                if text.endswith("| None"):
                    found[name] = found[name] | None
    return found


__all__ = ["FILE_WORDS", "TRAIN_FLAGS", "UNLEARN_FLAGS", "require_declaration", "require_settings"]
