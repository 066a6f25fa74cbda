"""Data sets by name, from files, and from arrays."""

from collections.abc import Mapping
from typing import Any

from tfunlearn.core.files import user_path
from tfunlearn.datasets.arrays import from_arrays
from tfunlearn.datasets.dataset import DATASETS, DataSet, require_labeled_data
from tfunlearn.datasets.digits import digits
from tfunlearn.datasets.femnist import femnist, femnist_digits
from tfunlearn.datasets.flower import from_flower
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.partitions import (
    PARTITIONS,
    check_partition,
    column,
    from_file,
    group,
    partition_kind,
)
from tfunlearn.datasets.tf_data import from_tf_data
from tfunlearn.datasets.tfds_images import (
    cifar10,
    cifar100,
    emnist_balanced,
    emnist_digits,
    emnist_letters,
    fashion_mnist,
    mnist,
)


def load(
    name: str, data_dir: str = "data", own: Any = None, prepared: Mapping | None = None
) -> LabeledData:
    """Return the named data set.

    Args:
        name: a key of `DATASETS`, a file or folder, `tfds:NAME`, or a specification of your own.
        data_dir: folder of data sets on disk; what is there already is never downloaded.
        own: settings of the data set; default its defaults.
        prepared: what a run stored of its data; default none, which prepares them anew.

    Raises:
        UserError: unknown name, or neither data on disk nor network.
    """
    found = DATASETS.find(name)
    own = DATASETS.make_settings(name) if own is None else own
    folder = str(user_path(data_dir))
    if prepared is None or found.reload is None:
        return require_labeled_data(name, found.load(folder, own))
    return require_labeled_data(name, found.reload(folder, own, prepared))


__all__ = [
    "DATASETS",
    "PARTITIONS",
    "DataSet",
    "LabeledData",
    "check_partition",
    "column",
    "from_file",
    "group",
    "partition_kind",
    "cifar10",
    "cifar100",
    "digits",
    "emnist_balanced",
    "emnist_digits",
    "emnist_letters",
    "fashion_mnist",
    "from_arrays",
    "from_flower",
    "from_tf_data",
    "femnist",
    "femnist_digits",
    "load",
    "mnist",
]
