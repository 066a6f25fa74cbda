"""Makes a configuration from flat words: Python keywords, a file, the command line."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Mapping

from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.fields import ConfigField, fields_of, typed
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
    values, sections = with_whole_paths(typed(values, fields_by_name())), {}
    for name, section in _sections().items():
        leaves = [field.name for field in dataclasses.fields(section)]
        sections[name] = section(**{leaf: values.pop(leaf) for leaf in leaves if leaf in values})
    return RunConfig(**sections, **values)


def with_whole_paths(values: Mapping) -> dict:
    """Return flat fields with `~` replaced in those that name files or folders."""
    return {name: str(user_path(value)) if name in PATHS and value.startswith("~") else value
            for name, value in values.items()}


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


def fields_by_name() -> dict[str, ConfigField]:
    """Returns every field of the tree by its flat name."""
    found = {}
    for section in (*_sections().values(), RunConfig):
        found |= fields_of(section)
    return found


def _sections() -> dict[str, type]:
    hints = typing.get_type_hints(RunConfig)
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
