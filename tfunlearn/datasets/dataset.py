"""The declaration of a data set, and the family of data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.declarations import TRAIN_FLAGS
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


def require_image_data(name: str, data: Any) -> ImageData:
    """Return a loaded data set, checked.

    Raises:
        UserError: it is no `ImageData`, or its images are not uint8 of one shape, with at least one
            for training and one for testing.
    """
    if not isinstance(data, ImageData):
        raise UserError(f"dataset: {name} must return an ImageData; got {type(data).__name__}")
    parts = (data.images, data.test_images)
    good = (
        all(isinstance(part, np.ndarray) and part.dtype == np.uint8 for part in parts)
        and all(part.ndim == 4 and len(part) for part in parts)
        and data.images.shape[1:] == data.test_images.shape[1:]
        and isinstance(data.classes, (int, np.integer))
    )
    if not good:
        got = " and ".join(
            f"{getattr(part, 'dtype', type(part).__name__)} {np.shape(part)}" for part in parts
        )
        raise UserError(
            f"dataset: {name} must have uint8 images (n, height, width, channels) for training "
            f"and testing, and a whole number of classes; got {got}, {data.classes!r} classes"
        )
    return data


def _data_set_of(name: str, function: Callable) -> DataSet:
    require_positional(function, 1, "a function `(data_dir, *, ...)`")
    function = reporting("dataset", function)

    return DataSet(
        name=name,
        summary=summary_of(function, name),
        load=loaded_by(function),
        settings=settings_of(function),
    )


DATASETS: Family[DataSet] = Family(
    "dataset",
    field="dataset",
    kind=DataSet,
    package="tfunlearn.datasets",
    adapt=_data_set_of,
    takes="a function `(data_dir) -> ImageData`",
    flags=TRAIN_FLAGS,
)
