"""The built-in default data set: handwritten digits included in scikit-learn."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np

from tfunlearn.datasets.dataset import DataSet, loaded_by
from tfunlearn.datasets.labeled_data import LabeledData

SIDE = 28
TEST_SHARE = 0.2


def digits(data_dir: str | None = None) -> LabeledData:
    """Return 1,797 real handwritten digits, scaled from 8x8 to 28x28 (linear interpolation).

    The held-out test split, a fifth of every class, is the same in every run.

    Args:
        data_dir: not used; the images are part of scikit-learn.

    Reference:
        Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.
    """
    images, labels, train, test = _enlarged()
    return LabeledData("digits", images[train], labels[train], images[test], labels[test], 10)


@functools.cache
def _enlarged() -> tuple[np.ndarray, ...]:
    """Return all images, their labels, and the rows of the training and of the test split."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small, labels = load_digits(return_X_y=True)
    small = small.reshape(-1, 8, 8)
    large = cast(np.ndarray, zoom(small, (1, SIDE / 8, SIDE / 8), order=1, grid_mode=False))
    images = np.rint(large * (255 / 16)).astype(np.uint8)[..., None]
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=0
    )
    return images, labels.astype(np.int32), np.asarray(train), np.asarray(test)


DIGITS = DataSet(
    name="digits",
    load=loaded_by(digits),
    summary="1,797 real handwritten digits, scaled from 8x8 to 28x28 (embedded)",
)
