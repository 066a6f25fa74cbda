"""Data sets of `tf.data`, read into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.datasets.arrays import from_arrays
from tfunlearn.datasets.labeled_data import LabeledData


def from_tf_data(train: Any, test: Any = None, **options: Any) -> LabeledData:
    """Return a `tf.data.Dataset` of pairs (features, label) as a data set.

    It is read once, to its end. Pairs may be batched; features may be a mapping from input name to
    tensor. All examples must have one shape.

    Args:
        train: the training examples.
        test: the test examples; default a share of every class.
        **options: as for `from_arrays`: `name`, `clients`, `ids`, `class_names`, `vocabulary`,
            `test_share`.

    Raises:
        UserError: no pairs, an endless data set, examples of different shapes, or options that do
            not fit.
    """
    arrays = _arrays(train, "train")
    more = (None, None) if test is None else _arrays(test, "test")
    return from_arrays(*arrays, *more, **options)


def _arrays(dataset: Any, field: str) -> tuple[Any, np.ndarray]:
    """Return features and labels of all examples."""
    spec = getattr(dataset, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise UserError(
            f"{field}: must be a tf.data.Dataset of pairs (features, label); got {spec or dataset}"
        )
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise UserError(f"{field}: must be a tf.data.Dataset with an end; got an endless one")
    pairs = list(dataset.as_numpy_iterator())
    if not pairs:
        raise UserError(f"{field}: must have at least one example; got none")
    join = np.concatenate if spec[1].shape.rank else np.stack
    features, labels = zip(*pairs)
    try:
        if isinstance(features[0], dict):
            return {name: join([one[name] for one in features]) for name in features[0]}, join(
                labels
            )
        return join(features), join(labels)
    except ValueError:
        raise UserError(
            f"{field}: must have examples of one shape; got several; resize or pad them"
        )
