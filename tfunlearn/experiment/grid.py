"""The grid of a sweep: rows and columns of settings, and a cell for each pair and seed."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import itertools
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

from tfunlearn.core.errors import UserError, choose, nearest, require
from tfunlearn.experiment.config import RunConfig
from tfunlearn.experiment.config_reading import (
    ConfigField, fields_by_name, fields_of, read_table, run_config)
from tfunlearn.experiment.identity import content_of
from tfunlearn.experiment.unlearning.settings import METHODS, UnlearnSettings, unlearn_settings

TRAINED = ("test_accuracy", "test_loss", "attack_success", "source_error")
FORGOTTEN = ("forget_accuracy", "poisoned_accuracy", "remain_accuracy", "test_gap", "forget_gap",
             "poisoned_gap", "attack_gap", "rounds", "bound", "test_recovered")
MEASURES = (*TRAINED, *FORGOTTEN)  # the latter where a cell unlearns
OVER = {"last": "the last round", "attacked": "the mean over attacked rounds"}
UNLEARN_FIELDS = fields_of(UnlearnSettings)
KEYS = ("title", "seeds", "measures", "over", "fixed", "rows", "columns", "grid", "published")


@dataclass(frozen=True)
class Line:
    """A row or column: its label, its settings, and where published figures have it."""

    label: str
    values: dict
    published: dict


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        row, column: labels.
        seed: the run's seed.
        config: configuration of its training.
        unlearning: what is forgotten afterwards, and how; None if nothing is.
        measures_only: whether the trained model is measured as it is, for that request.
    """

    row: str
    column: str
    seed: int
    config: RunConfig
    unlearning: UnlearnSettings | None = None
    measures_only: bool = False

    @property
    def key(self) -> str:
        """The hash of everything that decides the cell, 16 hexadecimal digits."""
        if self.unlearning is None:
            return self.training_key
        asked = dataclasses.asdict(self.unlearning)
        return _hash([content_of(self.config), asked, self.measures_only])

    @property
    def training_key(self) -> str:
        """The hash of everything that decides the training."""
        return _hash(content_of(self.config))


@dataclass(frozen=True)
class Grid:
    """What a sweep runs and shows.

    Attributes:
        title: heading of the tables.
        rows, columns: `Line`s.
        seeds: seeds of each pair.
        measures: metrics to show, a table each.
        over: `"last"` round or mean over `"attacked"` rounds.
        fixed: settings of all cells.
        published: table in `data/published`, and the column of its figures; or empty.
    """

    title: str
    rows: list[Line]
    columns: list[Line]
    seeds: list[int]
    measures: list[str]
    over: str
    fixed: dict
    published: dict

    def cells(self, **overrides) -> list[Cell]:
        """Returns every cell, all of the first seed first.

        Raises:
            UserError: a cell's settings are not valid; the message names the cell.
        """
        return [self._cell(row, column, seed, overrides) for seed in self.seeds
                for row, column in itertools.product(self.rows, self.columns)]

    def _cell(self, row: Line, column: Line, seed: int, overrides: dict) -> Cell:
        values = {**self.fixed}
        for line in (row, column):
            for name, value in line.values.items():
                both = row.values.keys() & column.values.keys()
                if name in both and not known_fields()[name].many:
                    raise UserError(f"grid: {name} is set by row '{row.label}' and by column "
                                    f"'{column.label}'; only lists of names add up")
                values[name] = ([*_listed(values.get(name, ())), *_listed(value)]
                                if name in both and line is column else value)
        asked = {name: values.pop(name) for name in list(values) if name in UNLEARN_FIELDS}
        try:
            config = run_config(**{**values, **overrides, "seed": seed})
            return Cell(row.label, column.label, seed, config, *_unlearning(asked))
        except UserError as error:
            raise UserError(f"cell '{row.label}' / '{column.label}': {error}")


def known_fields() -> dict[str, ConfigField]:
    """Returns the fields that a grid may set: those of a run and those of an unlearning."""
    return {**fields_by_name(), **UNLEARN_FIELDS}


def _unlearning(asked: dict) -> tuple[UnlearnSettings | None, bool]:
    """Returns what a cell unlearns, and whether it only measures that; method none does."""
    if not asked:
        return None, False
    require("method", None, "method" in asked, f"none, {', '.join(METHODS)}, where a cell has "
            f"{next(iter(asked))}")
    if asked["method"] != "none":
        return unlearn_settings(**asked), False
    return unlearn_settings(method="retrain", **{k: v for k, v in asked.items() if k == "forget"}), True


def _hash(content) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_grid(name: str) -> Grid:
    """Returns the grid of a `.toml` or `.json` file, or of a ready one by name.

    Raises:
        UserError: no such file, unknown keys or fields, or values out of range.
    """
    content = read_table(str(_path_of(name)))
    for key in content:
        if key not in KEYS:
            raise UserError(f"grid: unknown key '{key}'{nearest(key, KEYS)} "
                            f"(known: {', '.join(KEYS)})")
    rows, columns = _lines(content)
    seeds = content.get("seeds", [0])
    require("seeds", seeds, isinstance(seeds, list) and seeds and len(set(map(str, seeds)))
            == len(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds),
            "a list of different whole numbers >= 0")
    measures = content.get("measures", ["test_accuracy", "attack_success"])
    require("measures", measures, isinstance(measures, list) and len(measures) > 0,
            f"a list of {', '.join(MEASURES)}")
    for measure in measures:
        choose("measures", measure, dict.fromkeys(MEASURES))
    over = content.get("over", "last")
    choose("over", over, OVER)
    title = content.get("title", pathlib.Path(name).stem)
    require("title", title, isinstance(title, str), "text")
    return Grid(title, rows, columns, seeds, list(measures), over,
                _settings("fixed", content.get("fixed", {})),
                _published(content.get("published", {}), measures))


def ready_grids() -> list[str]:
    """Returns the names of the grids that come with the package."""
    folder = importlib.resources.files("tfunlearn_sweeps")
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir()
                  if path.name.endswith(".toml"))


def _path_of(name: str) -> pathlib.Path:
    if pathlib.Path(name).suffix:
        return pathlib.Path(name)
    choose("config", name, dict.fromkeys(ready_grids()))
    return pathlib.Path(str(importlib.resources.files("tfunlearn_sweeps") / f"{name}.toml"))


def _lines(content: dict) -> tuple[list[Line], list[Line]]:
    grid = content.get("grid")
    if grid is None:
        return _listed_lines("rows", content), _listed_lines("columns", content)
    require("grid", "with rows or columns", not {"rows", "columns"} & content.keys(),
            "either a grid, or rows and columns")
    require("grid", grid, isinstance(grid, Mapping) and grid
            and set(grid) <= {"rule", "defense", "attack", "method"}
            and all(isinstance(values, list) and values for values in grid.values()),
            "lists of rule, defense, attack and method")
    both = grid.keys() & content.get("fixed", {}).keys()
    require("grid", ", ".join(sorted(both)), not both, "fields that fixed does not have")
    for name, values in grid.items():
        for value in values:
            _names_in(f"grid: {name}", value)
    return (_products({k: grid[k] for k in ("rule", "defense") if k in grid}, "no defense"),
            _products({k: grid[k] for k in ("attack", "method") if k in grid}, "no attack"))


def _products(axes: dict, nothing: str) -> list[Line]:
    """Returns a line for each combination of the axes' values, which are names or lists of them."""
    lines = []
    for values in itertools.product(*axes.values()):
        words = [word for value in values for word in _listed(value) if word != "none"]
        if "method" in axes and values[list(axes).index("method")] == "none":
            words.append("not unlearned")
        label = " + ".join(words) or (nothing if axes else "as fixed")
        lines.append(Line(label, dict(zip(axes, values)), {}))
    return _different("grid", lines)


def _listed_lines(field: str, content: dict) -> list[Line]:
    lines = content.get(field)
    require(field, lines, isinstance(lines, list) and lines
            and all(isinstance(line, Mapping) and isinstance(line.get("label"), str)
                    and line["label"].strip() for line in lines),
            f"tables [[{field}]], each with a label, or a [grid]")
    return _different(field, [
        Line(line["label"], _settings(line["label"], {
            k: v for k, v in line.items() if k not in ("label", "published")}),
            _wanted(line)) for line in lines])


def _wanted(line: Mapping) -> dict:
    """Returns where published figures have a row or column."""
    wanted = line.get("published", {})
    require(f"{line['label']}: published", wanted, isinstance(wanted, Mapping),
            "a table of columns and their words")
    return dict(wanted)


def _different(field: str, lines: list[Line]) -> list[Line]:
    labels = [line.label for line in lines]
    require(field, labels, len(set(labels)) == len(labels), "different labels")
    return lines


def _settings(where: str, values) -> dict:
    require(where, values, isinstance(values, Mapping), "a table of configuration fields")
    known = known_fields()
    require(where, "seed", "seed" not in values, "any field but that; seeds are a list at the top")
    for name in values:
        if name not in known:
            raise UserError(f"{where}: unknown field '{name}'{nearest(name, known)}")
        if known[name].many:
            _names_in(f"{where}: {name}", values[name])
    return dict(values)


def _published(values, measures: list[str]) -> dict:
    if values == {}:
        return {}
    require("published", values, isinstance(values, Mapping)
            and set(values) == {"table", "value", "scale", "measure"},
            "a table with table, value, scale and measure")
    for key in ("table", "value"):
        require(f"published: {key}", values[key], isinstance(values[key], str), "text")
    scale = values["scale"]
    require("published: scale", scale, isinstance(scale, (int, float)) and not isinstance(
        scale, bool) and 0 < scale < 1e9, "a number > 0")
    choose("published: measure", values["measure"], dict.fromkeys(measures))
    return dict(values)


def _names_in(field: str, value) -> None:
    words = value if isinstance(value, list) else [value]
    require(field, value, all(isinstance(word, str) for word in words), "a name or a list of names")


def _listed(value) -> list:
    return [value] if isinstance(value, str) else list(value)
