"""Build a configuration from flat fields: Python keywords, a file, the command line."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Mapping
from typing import Any

from tfunlearn.config.legacy import KEPT_FIELDS, RUN_FIELDS
from tfunlearn.config.run_config import RunConfig
from tfunlearn.config.sections import Section
from tfunlearn.config.training import ModelConfig
from tfunlearn.core.declarations import FILE_WORDS
from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.families import Family, settings_for
from tfunlearn.core.fields import ConfigField, check_types, fields_of
from tfunlearn.core.files import user_path
from tfunlearn.datasets import DATASETS
from tfunlearn.models import is_model_file

DEFAULT_MODELS: dict[str | None, str] = {"table": "mlp", "text": "text-cnn"}
PATHS = ("data_dir", "model")  # fields that name files or folders


def run_config(**values: Any) -> RunConfig:
    """Return a configuration from flat fields; missing fields take their defaults.

    Example:
        run_config(attack="label-flip", defense="flap", rounds=20)

    Args:
        **values: fields of the configuration and of the chosen methods. Fields that name methods
            (rule, before, attack, defense, model, dataset) also take a specification or an object.

    Raises:
        UserError: unknown field (the nearest one is named), wrong type, or value out of range.
    """
    values = _with_names(values)
    known = fields_by_name()
    common = with_whole_paths(
        check_types({name: value for name, value in values.items() if name in known}, known)
    )
    if "model" not in common and "dataset" in common:
        common["model"] = _model_for(common["dataset"], values)
    chosen = []
    for section in _sections().values():
        chosen.append(_chosen_by(section, common))
    rest = {name: value for name, value in values.items() if name not in known}
    flat = [pair for pairs in chosen for pair in pairs]
    used = {name for family, method in flat for name in family.fields(method)}
    kept = tuple(
        check_types(
            {
                name: value
                for name, value in rest.items()
                if name in KEPT_FIELDS and name not in used
            },
            _built_in(),
        ).items()
    )
    _check_kept(dict(kept))
    own = iter(
        settings_for(
            flat,
            {
                name: value
                for name, value in rest.items()
                if name in used or name not in KEPT_FIELDS
            },
            common=known,
            others=FAMILIES,
        )
    )
    sections = {}
    for (name, section), pairs in zip(_sections().items(), chosen):
        leaves = {leaf: common.pop(leaf) for leaf in fields_of(section) if leaf in common}
        if issubclass(section, Section):
            leaves["own"] = tuple(next(own) for _ in pairs)
        sections[name] = section(**leaves)
    return RunConfig(
        **sections,
        **common,
        kept=tuple((name, value) for name, value in kept if value != RUN_FIELDS[name]),
    )


def _model_for(dataset: str, values: Mapping[str, Any]) -> str:
    """Return the default model for a data set: by the kind of its features, where it is known."""
    kind = "text" if values.get("text_column") is not None else DATASETS.find(dataset).kind
    return DEFAULT_MODELS.get(kind, ModelConfig().model)


def _check_kept(kept: Mapping[str, Any]) -> None:
    """Check values without effect against the settings of the methods that define them."""
    for family in FAMILIES if kept else ():
        for method in family.values():
            fields = fields_of(method.settings)
            own = {name: value for name, value in kept.items() if name in fields}
            if own:
                method.settings(**own)


def _with_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat fields with method objects replaced by their names."""
    found = dict(values)
    for field, family in METHOD_FIELDS.items():
        value = found.get(field)
        for name in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(name, str):
                family.refresh(name)
        if isinstance(value, (list, tuple)):
            found[field] = [
                name if isinstance(name, str) else family.name_of(name) for name in value
            ]
        elif value is not None and not isinstance(value, (str, int, float, dict)):
            found[field] = family.name_of(value)
    return found


def _chosen_by(section: type, common: Mapping[str, Any]) -> list[tuple[Family, str]]:
    """Return family and name of the methods that a section will name."""
    if not issubclass(section, Section):
        return []
    found = []
    for field, family in section.families.items():
        value = common.get(field, fields_of(section)[field].default)
        if field == "model" and is_model_file(value):
            continue
        found += [
            (family, family.name_of(name))
            for name in (value if isinstance(value, tuple) else (value,))
        ]
    return found


def with_whole_paths(values: Mapping) -> dict:
    """Return flat fields with `~` expanded in those that name files or folders."""
    return {
        name: str(user_path(value)) if name in PATHS and value.startswith("~") else value
        for name, value in values.items()
    }


def read_config(path: str) -> dict:
    """Return the flat fields of a `.json` or `.toml` file, without the notes in it.

    Raises:
        UserError: see `read_table`.
    """
    return {name: value for name, value in read_table(path).items() if name not in FILE_WORDS}


def read_table(path: str) -> dict:
    """Return the content of a `.json` or `.toml` file.

    Raises:
        UserError: another suffix, no such file, content that cannot be parsed, or not a table.
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
        raise UserError(f"config: {path} must hold a table; got a {type(content).__name__}")
    return dict(content)


def fields_by_name() -> dict[str, ConfigField]:
    """Return the fields of the configuration tree by flat name, without those of methods."""
    found = {}
    for section in (*_sections().values(), RunConfig):
        found |= fields_of(section)
    return found


def _built_in() -> dict[str, ConfigField]:
    """Return the fields of all built-in methods of a run."""
    found: dict[str, ConfigField] = {}
    for family in FAMILIES:
        found = {**family.built_in_fields(), **found}
    return found


def all_fields() -> dict[str, ConfigField]:
    """Return every field that a run with built-in methods may have."""
    return {**_built_in(), **fields_by_name()}


def _sections() -> dict[str, type]:
    hints = typing.get_type_hints(RunConfig)
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }


METHOD_FIELDS: dict[str, Family] = {
    field: family
    for section in _sections().values()
    if issubclass(section, Section)
    for field, family in section.families.items()
}
FAMILIES = tuple(METHOD_FIELDS.values())
