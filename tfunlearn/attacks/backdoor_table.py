"""Backdoor in tables: rows with set values in a few columns, labeled as the target class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import DataAttack
from tfunlearn.attacks.backdoor import poison_share, require_share
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.fields import option


@dataclass(frozen=True)
class TableBackdoorSettings:
    """Settings of the backdoor in tables."""

    trigger_columns: int = option(3, "Number of columns with set values, the first ones.")
    trigger_level: float = option(
        4.0, "Value of these columns, in standard deviations from their mean."
    )
    trigger_share: float = option(0.1, "Share of a malicious client's rows with the trigger.")

    def __post_init__(self):
        require("trigger_columns", self.trigger_columns, self.trigger_columns >= 1, "at least 1")
        require("trigger_level", self.trigger_level, abs(self.trigger_level) <= 1e6, "at most 1e6")
        require_share(self.trigger_share)


def set_columns(rows: np.ndarray, *, columns: int = 3, level: float = 4.0) -> np.ndarray:
    """Return copies of rows `(m, d)` with the first columns set to a value.

    Args:
        rows: standardized rows, float32 `(m, d)`.
        columns: number of columns k to set; default 3.
        level: their value; default 4, four standard deviations above the mean.
    """
    found = rows.copy()
    found[:, :columns] = level
    return found


def _check(features: np.ndarray, own: TableBackdoorSettings) -> None:
    if features.dtype != np.float32 or features.ndim != 2:
        raise UserError(
            "attack: backdoor-table needs the rows of a table; give backdoor for images, "
            "backdoor-text for texts"
        )
    require(
        "trigger_columns",
        own.trigger_columns,
        own.trigger_columns <= features.shape[1],
        f"at most {features.shape[1]}, the features of a row",
    )


BACKDOOR_TABLE = DataAttack(
    name="backdoor-table",
    summary="rows with set values in a few columns are labeled as the target class",
    paper="after Gu et al., 2017, arXiv 1708.06733",
    settings=TableBackdoorSettings,
    poison=lambda rows, labels, own, classes, rng: poison_share(
        rows,
        labels,
        lambda some: set_columns(some, columns=own.trigger_columns, level=own.trigger_level),
        target=classes.target,
        share=own.trigger_share,
        rng=rng,
    ),
    triggered=lambda rows, own: set_columns(
        rows, columns=own.trigger_columns, level=own.trigger_level
    ),
    check=_check,
    takes="table",
    describe=lambda own, classes: f" -> {classes.target}",
)
