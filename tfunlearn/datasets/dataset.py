"""The declaration of a data set, and the family of data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import reporting, require_positional, settings_of, summary_of
from tfunlearn.datasets.images import ImageData


@dataclass(frozen=True, kw_only=True)
class DataSet(Method):
    """A named data set.

    Attributes:
        load: `(data_dir, own settings) -> ImageData`.
    """

    load: Callable[[str, Any], ImageData]


def loaded_by(function: Callable) -> Callable[[str, Any], ImageData]:
    """Return the `load` of a function `(data_dir, *, settings ...)`."""

    def load(data_dir: str, own: Any) -> ImageData:
        return function(data_dir, **vars(own))

    return load


def _data_set_of(name: str, function: Callable) -> DataSet:
    require_positional(function, 1, "a function `(data_dir, *, ...)`")
    function = reporting("dataset", function)

    def load(data_dir: str, own: Any) -> ImageData:
        found = function(data_dir, **vars(own))
        if not isinstance(found, ImageData):
            raise UserError(
                f"dataset: {name} must return an ImageData, not a {type(found).__name__}"
            )
        return found

    return DataSet(
        name=name, summary=summary_of(function, name), load=load, settings=settings_of(function)
    )


DATASETS: Family[DataSet] = Family(
    "dataset",
    field="dataset",
    kind=DataSet,
    package="tfunlearn.datasets",
    adapt=_data_set_of,
    takes="a function `(data_dir) -> ImageData`",
)
