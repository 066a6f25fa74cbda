"""Image data sets by name."""

from tfunlearn.core.errors import choose
from tfunlearn.core.files import user_path
from tfunlearn.datasets.digits import digits
from tfunlearn.datasets.femnist import femnist, femnist_digits
from tfunlearn.datasets.images import ImageData
from tfunlearn.datasets.partitions import PARTITIONS, check_partition
from tfunlearn.datasets.tfds_images import (
    cifar10, cifar100, emnist_balanced, emnist_digits, emnist_letters, fashion_mnist, mnist)

DATASETS = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "emnist-letters": emnist_letters,
    "emnist-digits": emnist_digits,
    "emnist-balanced": emnist_balanced,
    "femnist": femnist,
    "femnist-digits": femnist_digits,
}


def load(name: str, data_dir: str = "data") -> ImageData:
    """Return the named data set.

    Args:
        name: a key of `DATASETS`.
        data_dir: folder of data sets on disk; data found there is never downloaded again.

    Raises:
        UserError: the name is unknown, or the data is neither on disk nor downloadable.
    """
    return choose("dataset", name, DATASETS)(str(user_path(data_dir)))


__all__ = ["DATASETS", "PARTITIONS", "ImageData", "check_partition", "load"]
