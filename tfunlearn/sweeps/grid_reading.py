"""Reading of sweep grids, from a file or by name from those shipped with the package."""

from __future__ import annotations

import importlib.resources
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from tfunlearn.config.reading import METHOD_FIELDS, read_table
from tfunlearn.core.errors import UserError, choose, nearest, refuse, require
from tfunlearn.core.families import Method
from tfunlearn.core.fields import ConfigField
from tfunlearn.core.files import user_path
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.sweeps.grid import MEASURES, Grid, Line, known_fields, listed

OVER = {"last": "the last round", "attacked": "the mean over attacked rounds"}
KEYS = ("title", "seeds", "measures", "over", "fixed", "rows", "columns", "grid", "published")


def read_grid(name: str) -> Grid:
    """Return the grid of a `.toml` or `.json` file, or a shipped grid by name.

    Raises:
        UserError: no such file or grid, unknown keys or fields, or values out of range.
    """
    return grid_of(read_table(str(_path_of(name))), pathlib.Path(name).stem)


def grid_of(content: dict, name: str) -> Grid:
    """Return the grid described by the content of a file.

    Args:
        content: the content of the file.
        name: title of the grid if the content has none.

    Raises:
        UserError: unknown keys or fields, or values out of range.
    """
    for key in content:
        if key not in KEYS:
            raise UserError(
                f"grid: unknown key '{key}'{nearest(key, KEYS)} (known: {', '.join(KEYS)})"
            )
    fixed = content.get("fixed", {})
    require("fixed", fixed, isinstance(fixed, Mapping), "a table of configuration fields")
    content = _with_paths(content)
    known = {**known_fields(), **_fields_of_others(content)}
    rows, columns = _lines(content, known)
    seeds = content.get("seeds", [0])
    require(
        "seeds",
        seeds,
        isinstance(seeds, list)
        and bool(seeds)
        and len(set(map(str, seeds))) == len(seeds)
        and all(type(seed) is int and seed >= 0 for seed in seeds),
        "a list of different whole numbers >= 0",
    )
    measures = content.get("measures", ["test_accuracy", "attack_success"])
    require(
        "measures",
        measures,
        isinstance(measures, list) and len(measures) > 0,
        f"a list of {', '.join(MEASURES)}",
    )
    for measure in measures:
        choose("measures", measure, dict.fromkeys(MEASURES))
    over = content.get("over", "last")
    choose("over", over, OVER)
    title = content.get("title", name)
    require("title", title, isinstance(title, str), "text")
    return Grid(
        title,
        rows,
        columns,
        seeds,
        _with_source_error(measures),
        over,
        _settings("fixed", content.get("fixed", {}), known),
        _read_published(content.get("published", {}), measures),
        {**content, "title": title},
    )


def _with_source_error(measures: list[str]) -> list[str]:
    """Return the measures, with source error after attack success and source gap after attack gap.

    Attack success also falls if the model merely loses the source class, which source error shows.
    """
    beside = {"attack_success": "source_error", "attack_gap": "source_gap"}
    found = []
    for measure in measures:
        found.append(measure)
        if measure in beside and beside[measure] not in measures:
            found.append(beside[measure])
    return found


def ready_grids() -> list[str]:
    """Return the names of the grids shipped with the package."""
    folder = importlib.resources.files("tfunlearn_sweeps")
    return sorted(
        path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")
    )


def _path_of(name: str) -> pathlib.Path:
    if user_path(name).suffix:
        return user_path(name)
    choose("config", name, dict.fromkeys(ready_grids()))
    return pathlib.Path(str(importlib.resources.files("tfunlearn_sweeps") / f"{name}.toml"))


def _fields_of_others(content: dict) -> dict[str, ConfigField]:
    """Return the settings of all methods in a grid that are not built in."""
    found: dict[str, ConfigField] = {}
    tables = [
        content.get("fixed"),
        content.get("grid"),
        *(lines for name in ("rows", "columns") for lines in _as_list(content.get(name))),
    ]
    for table in tables:
        for field, family in {**METHOD_FIELDS, UNLEARNING.field: UNLEARNING}.items():
            values = table.get(field, ()) if isinstance(table, Mapping) else ()
            for name in _words(values):
                if (name not in family and ":" in name) or name in family.entry_points():
                    found |= family.fields(family.name_of(name))
    return found


def _with_paths(content: dict) -> dict:
    """Return a grid's content with absolute paths of methods in files, and objects by name."""

    def of(value: Any, family: Any = None) -> Any:
        if isinstance(value, dict):
            return {name: of(one, families.get(name)) for name, one in value.items()}
        if isinstance(value, list):
            return [of(one, family) for one in value]
        named = isinstance(value, (str, Method)) or callable(value)
        if family is None or not named:
            return value
        name = family.name_of(value)
        family.refresh(name)
        return name

    families = {**METHOD_FIELDS, UNLEARNING.field: UNLEARNING}
    tables = ("fixed", "grid", "rows", "columns")
    return {key: of(value) if key in tables else value for key, value in content.items()}


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _words(values) -> list[str]:
    """Return all texts in a value, a list of values, or a list of lists."""
    if isinstance(values, str):
        return [values]
    return [word for value in values for word in _words(value)] if isinstance(values, list) else []


def _lines(content: dict, known: Mapping[str, ConfigField]) -> tuple[list[Line], list[Line]]:
    grid = content.get("grid")
    if grid is None:
        return (_listed_lines("rows", content, known), _listed_lines("columns", content, known))
    listed_too = sorted({"rows", "columns"} & content.keys())
    refuse("grid", listed_too, not listed_too, "with rows or columns")
    require(
        "grid",
        grid,
        isinstance(grid, Mapping)
        and bool(grid)
        and set(grid) <= {"rule", "defense", "attack", "method"}
        and all(isinstance(values, list) and values for values in grid.values()),
        "a table with lists of rule, defense, attack or method",
    )
    both = grid.keys() & content.get("fixed", {}).keys()
    require("grid", ", ".join(sorted(both)), not both, "fields that are not in fixed")
    for name, values in grid.items():
        for value in values:
            _names_in(f"grid: {name}", value)
    return (
        _products({k: grid[k] for k in ("rule", "defense") if k in grid}, "no defense"),
        _products({k: grid[k] for k in ("attack", "method") if k in grid}, "no attack"),
    )


def _products(axes: dict, nothing: str) -> list[Line]:
    """Return a line for each combination of the axes' values (names, or lists of names)."""
    lines = []
    for values in itertools.product(*axes.values()):
        words = [word for value in values for word in listed(value) if word != "none"]
        if "method" in axes and values[list(axes).index("method")] == "none":
            words.append("not unlearned")
        label = " + ".join(words) or (nothing if axes else "as fixed")
        lines.append(Line(label, dict(zip(axes, values)), {}))
    return _different("grid", lines)


def _listed_lines(field: str, content: dict, known: Mapping[str, ConfigField]) -> list[Line]:
    lines: Any = content.get(field)
    require(
        field,
        lines,
        isinstance(lines, list)
        and bool(lines)
        and all(
            isinstance(line, Mapping)
            and isinstance(line.get("label"), str)
            and line["label"].strip()
            for line in lines
        ),
        f"tables [[{field}]], each with a label, or a [grid]",
    )
    return _different(
        field,
        [
            Line(
                line["label"],
                _settings(
                    line["label"],
                    {k: v for k, v in line.items() if k not in ("label", "published")},
                    known,
                ),
                _published_place(line),
            )
            for line in lines
        ],
    )


def _published_place(line: Mapping) -> dict:
    """Return the entries by which a row or column is found in the published table."""
    wanted = line.get("published", {})
    require(
        f"{line['label']}: published",
        wanted,
        isinstance(wanted, Mapping),
        "a table of columns and their words",
    )
    return dict(wanted)


def _different(field: str, lines: list[Line]) -> list[Line]:
    labels = [line.label for line in lines]
    require(field, labels, len(set(labels)) == len(labels), "different labels")
    return lines


def _settings(where: str, values, known: Mapping[str, ConfigField]) -> dict:
    require(where, values, isinstance(values, Mapping), "a table of configuration fields")
    require(where, "seed", "seed" not in values, "any field but seed; seeds are a list at the top")
    for name in values:
        if name not in known:
            raise UserError(f"{where}: unknown field '{name}'{nearest(name, known)}")
        if known[name].many:
            _names_in(f"{where}: {name}", values[name])
        elif name in METHOD_FIELDS or name == UNLEARNING.field:
            require(f"{where}: {name}", values[name], isinstance(values[name], str), "a name")
    return dict(values)


def _read_published(values, measures: list[str]) -> dict:
    if values == {}:
        return {}
    require(
        "published",
        values,
        isinstance(values, Mapping) and set(values) == {"table", "value", "scale", "measure"},
        "a table with table, value, scale and measure",
    )
    for key in ("table", "value"):
        require(f"published: {key}", values[key], isinstance(values[key], str), "text")
    scale = values["scale"]
    require(
        "published: scale",
        scale,
        isinstance(scale, (int, float)) and not isinstance(scale, bool) and 0 < scale < 1e9,
        "a number > 0",
    )
    choose("published: measure", values["measure"], dict.fromkeys(measures))
    return dict(values)


def _names_in(field: str, value) -> None:
    words = value if isinstance(value, list) else [value]
    require(field, value, all(isinstance(word, str) for word in words), "a name or a list of names")
