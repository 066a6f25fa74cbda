"""Makes a configuration from flat words: Python keywords, a file, the command line."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Mapping
from typing import NamedTuple

from tfunlearn.core.errors import UserError, first_line, nearest, require
from tfunlearn.core.files import user_path
from tfunlearn.config.run_config import RunConfig

# Notes in a run's config.json.
IGNORED_KEYS = ("versions", "weights", "model_sha256", "content_sha256")

PATHS = ("data_dir", "model")  # fields that name files or folders


def run_config(**values) -> RunConfig:
    """Returns a configuration from flat field names, defaults elsewhere.

    Example:
        run_config(attack="label-flip", defense="flap", rounds=20)

    Raises:
        UserError: unknown field (the nearest one is named), wrong type, or value out of range.
    """
    values, sections = typed(values, fields_by_name()), {}
    for name, section in _sections().items():
        leaves = [field.name for field in dataclasses.fields(section)]
        sections[name] = section(**{leaf: values.pop(leaf) for leaf in leaves if leaf in values})
    return RunConfig(**sections, **values)


def typed(values: Mapping, known: Mapping[str, ConfigField]) -> dict:
    """Returns the values of fields, each as its field's type.

    Raises:
        UserError: unknown field (the nearest one is named), or wrong type.
    """
    for name in values:
        if name not in known:
            raise UserError(f"config: unknown field '{name}'{nearest(name, known)}")
    found = {name: _typed(name, value, known[name]) for name, value in values.items()}
    return {name: str(user_path(value)) if name in PATHS and value.startswith("~") else value
            for name, value in found.items()}


def read_config(path: str) -> dict:
    """Returns the flat fields of a `.json` or `.toml` file.

    Raises:
        UserError: see `read_table`.
    """
    return {name: value for name, value in read_table(path).items() if name not in IGNORED_KEYS}


def read_table(path: str) -> dict:
    """Returns what a `.json` or `.toml` file holds.

    Raises:
        UserError: no such file, not readable as what its name says, or not a table.
    """
    readers = {".json": json.loads, ".toml": tomllib.loads}
    suffix = user_path(path).suffix
    require("config", path, suffix in readers, "a file that ends in .json or .toml")
    try:
        content = readers[suffix](user_path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"config: {path} cannot be read ({error.strerror})")
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"config: {path} is not valid {suffix[1:]} ({first_line(error)})")
    if not isinstance(content, Mapping):
        raise UserError(f"config: {path} holds a {type(content).__name__}; allowed is a table")
    return dict(content)


class ConfigField(NamedTuple):
    """A field of the tree as the outside sees it.

    Attributes:
        default: its default value.
        help: what it means, for the command line.
        kinds: types its value may have; for a list of names the type of one name.
        many: whether it is a list of names.
    """

    default: object
    help: str
    kinds: tuple[type, ...]
    many: bool


def fields_by_name() -> dict[str, ConfigField]:
    """Returns every field of the tree by its flat name."""
    found = {}
    for section in (*_sections().values(), RunConfig):
        found |= fields_of(section)
    return found


def fields_of(section: type) -> dict[str, ConfigField]:
    """Returns the fields of one dataclass, those that are dataclasses themselves left out."""
    found, hints = {}, typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        if not dataclasses.is_dataclass(hint):
            many = typing.get_origin(hint) is tuple
            kinds = (str,) if many else typing.get_args(hint) or (hint,)
            found[field.name] = ConfigField(field.default, field.metadata["help"], kinds, many)
    return found


def _sections() -> dict[str, type]:
    hints = typing.get_type_hints(RunConfig)
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}


def _typed(name: str, value, field: ConfigField):
    """Returns `value` as the field's type; ints pass as floats, one word as a list of words."""
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
    words = {type(None): "null", str: "text", bool: "true or false", int: "a whole number",
             float: "a number"}
    allowed = "a list of names" if field.many else " or ".join(words[kind] for kind in field.kinds)
    raise UserError(f"{name}: {value!r} is not allowed; allowed is {allowed}")


def _is_plain(text: str) -> bool:
    """Tells whether a text can be part of a file name."""
    return "\0" not in text and text.encode("utf-8", "ignore").decode() == text
