"""Labeled data: features, labels, and what is known about each example."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.features import pack, shape_of, take_rows
from tfunlearn.core.labels import require_labels

_CHECKED_AT_ONCE = 65536


@dataclass(frozen=True)
class LabeledData:
    """A labeled data set with its held-out test split.

    Features may be any array with one row per example, or a mapping from input name to such arrays,
    which is stored as one structured array (`core.features`). Images are uint8, with channels;
    gray images without channels get one. Other whole numbers become int32, other numbers float32.

    Attributes:
        name: name of the data set.
        features: features of the training examples, `(N, ...)`.
        labels: `(N,)` int32 in 0..classes-1.
        test_features: features of the test examples, `(M, ...)`.
        test_labels: `(M,)` int32.
        classes: number of classes.
        writers: natural client of each training example (a writer, an author, a hospital), `(N,)`
            numbers or text; None if there are none.
        rows: index of each training example in the full training split, `(N,)`; default all.
        class_names: name of each class; default the numbers.
        ids: identifier of each training example in the data's own terms, `(N,)` text; None if
            there are none.
        test_ids: identifier of each test example, for answers to requests; None if there are none.
        columns: name to values `(N,)` by which a partition can group the training examples.
        feature_names: name of each column of a table, in the order of the features' last axis.
        vocabulary: number of token ids, all of which are below it; None if there are no tokens.
        prepared: how the features were made from files, as JSON holds it; a run stores it and
            makes the same features from it.

    Raises:
        UserError: features or labels that do not fit.
    """

    name: str
    features: Any
    labels: np.ndarray
    test_features: Any
    test_labels: np.ndarray
    classes: int
    writers: np.ndarray | None = None
    rows: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    ids: np.ndarray | None = None
    test_ids: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    feature_names: tuple[str, ...] = ()
    vocabulary: int | None = None
    prepared: Mapping[str, Any] | None = None

    def __post_init__(self):
        if type(self.classes) is not int and not isinstance(self.classes, np.integer):
            raise UserError(
                f"dataset: {self.name} must have a whole number of classes; got {self.classes!r}"
            )
        for field in ("features", "test_features"):
            object.__setattr__(self, field, stored_features(self.name, getattr(self, field)))
        for field, features in (("labels", self.features), ("test_labels", self.test_features)):
            found = require_labels(
                getattr(self, field), classes=self.classes, count=len(features), field=field
            )
            object.__setattr__(self, field, found.astype(np.int32, copy=False))
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.labels)))
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))
        self._require_tokens()
        for field, found, wanted in (
            ("class_names", self.class_names, self.classes),
            ("writers", self.writers, len(self.labels)),
            ("ids", self.ids, len(self.labels)),
            ("test_ids", self.test_ids, len(self.test_labels)),
            *(
                (f"column {name}", values, len(self.labels))
                for name, values in self.columns.items()
            ),
        ):
            if found is not None and len(found) != wanted:
                raise UserError(
                    f"dataset: {field} of {self.name} must have {wanted} entries; got {len(found)}"
                )

    def _require_tokens(self) -> None:
        """Check that token ids lie below the vocabulary."""
        for part in (self.features, self.test_features):
            if self.vocabulary is None or part.dtype.names is not None or not len(part):
                continue
            low, high = np.min(part[:]), np.max(part[:])
            if part.dtype != np.int32 or low < 0 or high >= self.vocabulary:
                raise UserError(
                    f"vocabulary: must be above every token id of {self.name}, from 0; got "
                    f"{self.vocabulary} for {part.dtype} {low} to {high}"
                )

    @property
    def input_shape(self) -> Any:
        """Shape of an example: a tuple, or a mapping from input to tuple."""
        return shape_of(self.features)

    @property
    def is_image(self) -> bool:
        """Whether the features are gray or color images, `(N, height, width, 1 or 3)`."""
        return self.features.ndim == 4 and self.features.shape[-1] in (1, 3)

    @property
    def kind(self) -> str | None:
        """Kind of the features: `"images"`, `"text"`, `"table"` (one axis), or None."""
        if self.vocabulary is not None:
            return "text"
        if self.features.dtype.names is not None:
            return None
        return {4: "images", 2: "table"}.get(self.features.ndim)

    def class_numbers(self) -> dict[str, int]:
        """Return the number of each class by its name."""
        return {name: number for number, name in enumerate(self.class_names)}

    def class_name(self, label: int) -> str:
        """Return the name of a class."""
        return self.class_names[label]

    def subset(self, count: int, rng: np.random.Generator) -> LabeledData:
        """Return the data with `count` training examples drawn without replacement."""
        return self._at(np.sort(rng.choice(len(self.labels), count, replace=False)))

    def held_back(self, count: int, rng: np.random.Generator) -> tuple[LabeledData, LabeledData]:
        """Return the data without `count` randomly drawn training examples, and those examples."""
        order = rng.permutation(len(self.labels))
        return self._at(np.sort(order[count:])), self._at(np.sort(order[:count]))

    def _at(self, rows: np.ndarray) -> LabeledData:
        assert self.rows is not None  # set in __post_init__
        return dataclasses.replace(
            self,
            features=take_rows(self.features, rows),
            labels=self.labels[rows],
            writers=None if self.writers is None else self.writers[rows],
            rows=self.rows[rows],
            ids=None if self.ids is None else self.ids[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )


def stored_features(name: str, features: Any) -> Any:
    """Return features in the types that runs use; see `LabeledData`."""
    if isinstance(features, Mapping):
        return pack(
            {key: stored_features(f"{name}, {key}", part) for key, part in features.items()}
        )
    features = features if hasattr(features, "dtype") else np.asarray(features)
    dtype = np.dtype(features.dtype)
    if dtype.names is not None:
        return features
    if features.ndim < 1 or dtype.kind not in "biuf":
        raise UserError(
            f"dataset: features of {name} must be numbers with one row for each example; got "
            f"{dtype} {tuple(features.shape)}"
        )
    if features.ndim == 1:
        features = np.asarray(features)[:, None]
    if dtype == np.uint8 and features.ndim == 3:
        return features[..., None]
    if dtype in (np.uint8, np.int32, np.float32) and (dtype != np.uint8 or features.ndim == 4):
        return features
    features = np.asarray(features)
    if dtype.kind != "f":
        if features.size and (features.max() > 2**31 - 1 or features.min() < -(2**31)):
            raise UserError(
                f"dataset: whole numbers of {name} must be from -2147483648 to 2147483647; "
                f"got {features.min()} to {features.max()}"
            )
        return features.astype(np.int32)
    return features.astype(np.float32)


def require_finite(name: str, where: str, features: Any) -> None:
    """Check that all numbers are finite; rows are counted from 0 in `where`."""
    for key in features.dtype.names or ("",):
        dtype = features.dtype[key].base if key else features.dtype
        if dtype.kind != "f":
            continue
        for first in range(0, len(features), _CHECKED_AT_ONCE):
            part = features[first : first + _CHECKED_AT_ONCE]
            values = (part[key] if key else part).reshape(len(part), -1)
            odd = ~np.isfinite(values).all(axis=1)
            if odd.any():
                row = int(np.flatnonzero(odd)[0])
                got = values[row][~np.isfinite(values[row])][0]
                raise UserError(
                    f"dataset: features of {name} must be finite; got {got} in row {first + row} "
                    f"of {where}{key and f', input {key}'}; fill it, or remove the row"
                )
