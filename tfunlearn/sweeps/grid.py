"""The grid of a sweep: rows and columns of settings, with one cell per pair and seed."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfunlearn.config.fingerprint import checksums_of_data, content_of
from tfunlearn.config.reading import METHOD_FIELDS, all_fields, run_config
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.fields import ConfigField
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.settings import (
    AUTO,
    COMMON,
    UnlearnSettings,
    common_fields,
    reference_method,
    unlearn_settings,
)

TRAINED = ("test_accuracy", "test_loss", "attack_success", "source_error")
FORGOTTEN = (
    "forget_accuracy",
    "poisoned_accuracy",
    "remain_accuracy",
    "forget_test_accuracy",
    "remain_test_accuracy",
    "work_seconds",
    "test_gap",
    "forget_gap",
    "poisoned_gap",
    "attack_gap",
    "source_gap",
    "rounds",
    "bound",
    "test_recovered",
)
MEASURES = (*TRAINED, *FORGOTTEN)  # FORGOTTEN only for cells that unlearn
UNLEARN_FIELDS = {**common_fields(), **UNLEARNING.built_in_fields()}


@dataclass(frozen=True)
class Line:
    """A row or column: its label, its settings, and its entries in a published table."""

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
        unlearning: settings of the unlearning after training; None for no unlearning.
        measures_only: measure the trained model for that request, instead of unlearning.
    """

    row: str
    column: str
    seed: int
    config: RunConfig
    unlearning: UnlearnSettings | None = None
    measures_only: bool = False

    @property
    def key(self) -> str:
        """Hash of everything that determines the cell, 16 hexadecimal digits."""
        if self.unlearning is None:
            return self.training_key
        asked = {name: getattr(self.unlearning, name) for name in COMMON}
        content = _content(self.config)
        return _hash([content, asked, self.unlearning.recorded(), self.measures_only])

    @property
    def training_key(self) -> str:
        """Hash of everything that determines the training, 16 hexadecimal digits."""
        return _hash(_content(self.config))


def _content(config: RunConfig) -> dict:
    """Return the fields that distinguish cells: those of the result, and a named engine."""
    named = {"engine": config.compute.engine, "threads": config.compute.threads_per_client}
    default = {"engine": "auto", "threads": 1}
    files = {"files": sums} if (sums := checksums_of_data(config.data)) else {}
    return {**content_of(config), **{k: v for k, v in named.items() if v != default[k]}, **files}


@dataclass(frozen=True)
class Grid:
    """Rows, columns, seeds and measures of a sweep.

    Attributes:
        title: heading of the tables.
        rows, columns: `Line`s.
        seeds: seeds of each pair of row and column.
        measures: metrics to show, one table each.
        over: `"last"` round or mean over `"attacked"` rounds.
        fixed: settings of all cells.
        published: table in `data/published`, column of its figures, scale and measure; or empty.
        content: content of the grid file as JSON values, so that a sweep can be resumed.
    """

    title: str
    rows: list[Line]
    columns: list[Line]
    seeds: list[int]
    measures: list[str]
    over: str
    fixed: dict
    published: dict
    content: dict = dataclasses.field(default_factory=dict)

    def cells(self, **overrides) -> list[Cell]:
        """Return every cell, ordered by seed.

        Raises:
            UserError: a cell's settings are invalid; the message names the cell.
        """
        return [
            self._cell(row, column, seed, overrides)
            for seed in self.seeds
            for row, column in itertools.product(self.rows, self.columns)
        ]

    def _cell(self, row: Line, column: Line, seed: int, overrides: dict) -> Cell:
        values = {**self.fixed}
        for line in (row, column):
            for name, value in line.values.items():
                both = row.values.keys() & column.values.keys()
                if name in both and not _is_list(name):
                    raise UserError(
                        f"grid: {name} is set by row '{row.label}' and by column "
                        f"'{column.label}'; only lists of names add up"
                    )
                values[name] = (
                    [*listed(values.get(name, ())), *listed(value)]
                    if name in both and line is column
                    else value
                )
        try:
            own = UNLEARN_FIELDS | _own_fields(values.get("method"))
            taken = _fields_of_run_methods(values)
            asked = {
                name: values.pop(name) for name in list(values) if name in own and name not in taken
            }
            config = run_config(**{**values, **overrides, "seed": seed})
            return Cell(row.label, column.label, seed, config, *_unlearning(asked))
        except UserError as error:
            raise UserError(f"cell '{row.label}' / '{column.label}': {error}")


def _is_list(name: str) -> bool:
    known = known_fields()
    return name in known and known[name].many


def _fields_of_run_methods(values: Mapping[str, Any]) -> set[str]:
    """Return the settings of a cell's rules, attacks and others that are not built in."""
    return {
        name
        for field, family in METHOD_FIELDS.items()
        for method in listed(values.get(field, ()))
        if isinstance(method, str) and method not in family and ":" in method
        for name in family.fields(method)
    }


def _own_fields(method: Any) -> dict[str, ConfigField]:
    """Return the fields of an unlearning method that is not built in, else none."""
    if not isinstance(method, str) or method in ("none", AUTO) or method in UNLEARNING:
        return {}
    return UNLEARNING.fields(UNLEARNING.name_of(method))


def known_fields() -> dict[str, ConfigField]:
    """Return the fields that a grid may set: those of training and of unlearning."""
    return {**all_fields(), **UNLEARN_FIELDS}


def _unlearning(asked: dict) -> tuple[UnlearnSettings | None, bool]:
    """Return the unlearning settings of a cell, and whether it only measures (method none)."""
    if not asked:
        return None, False
    require(
        "method",
        None,
        "method" in asked,
        f"none or one of {', '.join(UNLEARNING)}, where a cell sets {next(iter(asked))}",
    )
    if asked["method"] != "none":
        return unlearn_settings(**asked), False
    return unlearn_settings(**{**asked, "method": reference_method()}), True


def _hash(content) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def listed(value) -> list:
    """Return a list as it is, a single name as a list of one."""
    return [value] if isinstance(value, str) else list(value)
