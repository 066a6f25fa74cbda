"""The return value of all data set loaders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from tfunlearn.core.labels import require_labels


@dataclass(frozen=True)
class ImageData:
    """A labeled image data set with its held-out test split.

    Attributes:
        name: name of the data set, a key of `DATASETS`.
        images: training images, `(N, height, width, channels)` uint8.
        labels: `(N,)` int32 in 0..classes-1.
        test_images: `(M, height, width, channels)` uint8.
        test_labels: `(M,)` int32.
        classes: number of classes.
        writers: writer of each training image, `(N,)` int32; None if the data set has no writers.
        rows: index of each training image in the full training split, `(N,)`; default all.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    writers: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __post_init__(self):
        for name, images in (("labels", self.images), ("test_labels", self.test_images)):
            found = require_labels(
                getattr(self, name), classes=self.classes, count=len(images), field=name
            )
            object.__setattr__(self, name, found.astype(np.int32, copy=False))
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.labels)))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return cast(tuple[int, int, int], tuple(self.images.shape[1:]))

    def subset(self, count: int, rng: np.random.Generator) -> ImageData:
        """Return the data with `count` training examples drawn without replacement."""
        return self._at(np.sort(rng.choice(len(self.labels), count, replace=False)))

    def held_back(self, count: int, rng: np.random.Generator) -> tuple[ImageData, ImageData]:
        """Return the data without `count` randomly drawn training examples, and those examples."""
        order = rng.permutation(len(self.labels))
        return self._at(np.sort(order[count:])), self._at(np.sort(order[:count]))

    def _at(self, rows: np.ndarray) -> ImageData:
        assert self.rows is not None  # set in __post_init__
        writers = None if self.writers is None else self.writers[rows]
        return ImageData(
            self.name,
            self.images[rows],
            self.labels[rows],
            self.test_images,
            self.test_labels,
            self.classes,
            writers,
            self.rows[rows],
        )
