"""The declaration of a data set, and the family of data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.errors import UserError
from tfunlearn.core.families import Family, Method, NoSettings
from tfunlearn.core.fields import reporting, require_positional, settings_of, summary_of
from tfunlearn.datasets.labeled_data import LabeledData, require_finite

KINDS = ("images", "table", "text")


@dataclass(frozen=True, kw_only=True)
class DataSet(Method):
    """A named data set.

    Attributes:
        load: `(data_dir, own settings) -> LabeledData`.
        reload: `(data_dir, own settings, prepared) -> LabeledData` makes the data again as a run
            stored them (`LabeledData.prepared`); None if `load` always gives the same.
        kind: `"images"` (default), `"table"` or `"text"`, which chooses the default model; None
            if only the data tell.
    """

    load: Callable[[str, Any], LabeledData]
    reload: Callable[[str, Any, Mapping], LabeledData] | None = None
    kind: str | None = "images"


def loaded_by(function: Callable) -> Callable[[str, Any], LabeledData]:
    """Return the `load` of a function `(data_dir, *, settings ...)`."""

    def load(data_dir: str, own: Any) -> LabeledData:
        return function(data_dir, **vars(own))

    return load


def require_labeled_data(name: str, data: Any) -> LabeledData:
    """Return a loaded data set, checked.

    Raises:
        UserError: it is no `LabeledData`, has no training or no test example, its training and test
            features differ in shape or type, or a feature is not finite.
    """
    if not isinstance(data, LabeledData):
        raise UserError(f"dataset: {name} must return a LabeledData; got {type(data).__name__}")
    parts = (data.features, data.test_features)
    if not all(map(len, parts)) or len({(part.dtype, part.shape[1:]) for part in parts}) > 1:
        got = " and ".join(f"{part.dtype} {tuple(part.shape)}" for part in parts)
        raise UserError(
            f"dataset: {name} must have training and test features of one shape and type, at least "
            f"one example each; got {got}"
        )
    for field, part in zip(("training", "test"), parts):
        require_finite(data.name, f"the {field} examples", part)
    return data


def _data_set_of(name: str, found: Any) -> DataSet:
    """Return the data set of a plain function, or of data that are loaded already."""
    if isinstance(found, LabeledData):
        return DataSet(
            name=found.name,
            summary=f"{len(found.labels)} + {len(found.test_labels)} examples from Python",
            load=lambda data_dir, own: found,
            settings=NoSettings,
            kind=found.kind,
        )
    require_positional(found, 1, "a function `(data_dir, *, ...)`")
    function = reporting("dataset", found)

    return DataSet(
        name=name,
        summary=summary_of(function, name),
        load=loaded_by(function),
        settings=settings_of(function),
        kind=None,
    )


def _from_files(name: str) -> tuple[str, DataSet] | None:
    from tfunlearn.datasets.sources import data_set_at  # it needs this module

    return data_set_at(name)


def _settings_of_files() -> dict[str, type]:
    from tfunlearn.datasets.sources import SOURCES

    return {source.what: source.settings for source in SOURCES}


DATASETS: Family[DataSet] = Family(
    "dataset",
    field="dataset",
    kind=DataSet,
    package="tfunlearn.datasets",
    adapt=_data_set_of,
    wraps=LabeledData,
    takes="a function `(data_dir) -> LabeledData`",
    flags=TRAIN_FLAGS,
    on_demand=_from_files,
    on_demand_settings=_settings_of_files,
)
