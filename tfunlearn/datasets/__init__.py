"""Image data sets by name."""

from typing import Any

from tfunlearn.core.files import user_path
from tfunlearn.datasets.dataset import DATASETS, DataSet, require_image_data
from tfunlearn.datasets.digits import digits
from tfunlearn.datasets.femnist import femnist, femnist_digits
from tfunlearn.datasets.images import ImageData
from tfunlearn.datasets.partitions import PARTITIONS, check_partition
from tfunlearn.datasets.tfds_images import (
    cifar10,
    cifar100,
    emnist_balanced,
    emnist_digits,
    emnist_letters,
    fashion_mnist,
    mnist,
)


def load(name: str, data_dir: str = "data", own: Any = None) -> ImageData:
    """Return the named data set.

    Args:
        name: a key of `DATASETS`, or a specification of your own.
        data_dir: folder of data sets on disk; what is there already is never downloaded.
        own: settings of the data set; default its defaults.

    Raises:
        UserError: unknown name, or neither data on disk nor network.
    """
    found = DATASETS.find(name)
    own = DATASETS.make_settings(name) if own is None else own
    return require_image_data(name, found.load(str(user_path(data_dir)), own))


__all__ = [
    "DATASETS",
    "PARTITIONS",
    "DataSet",
    "ImageData",
    "check_partition",
    "cifar10",
    "cifar100",
    "digits",
    "emnist_balanced",
    "emnist_digits",
    "emnist_letters",
    "fashion_mnist",
    "femnist",
    "femnist_digits",
    "load",
    "mnist",
]
