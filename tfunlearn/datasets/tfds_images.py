"""Image data sets of TensorFlow Datasets, read from disk or downloaded once."""

from __future__ import annotations

import contextlib
import io
import logging
import pathlib
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator

import numpy as np

from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.datasets.damage import broken_json, broken_shard, damaged
from tfunlearn.datasets.dataset import DataSet, loaded_by
from tfunlearn.datasets.labeled_data import LabeledData

URLS = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "emnist": "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
}
CONNECT_SECONDS = 10


def mnist(data_dir: str) -> LabeledData:
    """Return MNIST: 60,000 + 10,000 digits, 28x28x1 (LeCun et al. 1998)."""
    return _load("mnist", "mnist", data_dir, classes=10)


def fashion_mnist(data_dir: str) -> LabeledData:
    """Return Fashion-MNIST: 60,000 + 10,000 images of clothing, 28x28x1 (arXiv 1708.07747)."""
    return _load("fashion-mnist", "fashion_mnist", data_dir, classes=10)


def cifar10(data_dir: str) -> LabeledData:
    """Return CIFAR-10: 50,000 + 10,000 photographs, 32x32x3 (Krizhevsky 2009)."""
    return _load("cifar10", "cifar10", data_dir, classes=10)


def cifar100(data_dir: str) -> LabeledData:
    """Return CIFAR-100: 50,000 + 10,000 photographs, 32x32x3 (Krizhevsky 2009)."""
    return _load("cifar100", "cifar100", data_dir, classes=100)


def emnist_letters(data_dir: str) -> LabeledData:
    """Return EMNIST letters: 26 classes, 28x28x1 (arXiv 1702.05373)."""
    return _load(
        "emnist-letters", "emnist/letters", data_dir, classes=26, first_label=1, transposed=True
    )


def emnist_digits(data_dir: str) -> LabeledData:
    """Return EMNIST digits: 10 classes, 28x28x1 (arXiv 1702.05373)."""
    return _load("emnist-digits", "emnist/digits", data_dir, classes=10, transposed=True)


def emnist_balanced(data_dir: str) -> LabeledData:
    """Return EMNIST balanced: 47 classes, 28x28x1 (arXiv 1702.05373)."""
    return _load("emnist-balanced", "emnist/balanced", data_dir, classes=47, transposed=True)


def _load(
    name: str,
    tfds_name: str,
    data_dir: str,
    *,
    classes: int,
    first_label: int = 0,
    transposed: bool = False,
) -> LabeledData:
    """Read both splits.

    In TFDS, EMNIST images are transposed and its letter labels start at 1; both are corrected here.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS logs every folder it checks
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(tfds_name, data_dir=data_dir)
        prepared = builder.is_prepared()
    except Exception as error:  # the constructor already reads the files on disk
        folder = pathlib.Path(data_dir) / tfds_name
        raise damaged(name, *(broken_json(folder) or (folder, first_line(error))), remove=folder)
    if not prepared:
        _download(builder, name, data_dir)
    try:
        return LabeledData(name, *_arrays(builder, first_label, transposed), classes=classes)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # corrupt files cause errors of many types
        raise damaged(name, *_broken_file(builder, error), remove=builder.data_dir)


def _arrays(builder, first_label: int, transposed: bool) -> list[np.ndarray]:
    """Return images and labels of both splits, after checking the number of examples."""
    import tensorflow_datasets as tfds

    arrays = []
    for split in ("train", "test"):
        columns = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        images, expected = columns["image"], builder.info.splits[split].num_examples
        require(split, len(images), len(images) == expected, f"{expected} examples")
        arrays.append(np.ascontiguousarray(images.swapaxes(1, 2)) if transposed else images)
        arrays.append((columns["label"] - first_label).astype(np.int32))
    return arrays


def _broken_file(builder, error: Exception) -> tuple[str | pathlib.Path, str]:
    """Return the unreadable file of a data set, or its folder if none is found, and the reason."""
    folder = pathlib.Path(builder.data_dir)
    files = {
        str(path): count
        for split in builder.info.splits.values()
        for path, count in zip(split.filepaths, split.shard_lengths)
    }
    return broken_json(folder) or broken_shard(files) or (folder, first_line(error))


def _download(builder, name: str, data_dir: str) -> None:
    """Download and prepare the data with TFDS; progress bars appear only on a terminal."""
    url = URLS[builder.name]
    try:
        require_host(url)
        with quiet_downloads():
            builder.download_and_prepare()
    except Exception as error:  # the downloader raises errors of many types
        raise UserError(
            f"dataset: {name} is not under {data_dir} and could not be downloaded "
            f"({first_line(error)}); fetch {url} through TensorFlow Datasets on a machine with "
            f"network and put the folder at {builder.data_dir}, or name the folder that holds it "
            "with --data-dir"
        )


@contextlib.contextmanager
def quiet_downloads() -> Iterator[None]:
    """Keep TFDS silent inside the block, but for progress bars on a terminal."""
    import tensorflow_datasets as tfds

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def require_host(url: str) -> None:
    """Raise OSError at once for an unreachable host, which TFDS would retry for minutes."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.getproxies().get(parts.scheme):
        return
    port = {"http": 80, "https": 443}[parts.scheme]
    socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()


MNIST = DataSet(
    name="mnist",
    load=loaded_by(mnist),
    paper="LeCun et al. 1998",
    summary="60,000 + 10,000 digits, 28x28x1",
)
FASHION_MNIST = DataSet(
    name="fashion-mnist",
    load=loaded_by(fashion_mnist),
    paper="arXiv 1708.07747",
    summary="60,000 + 10,000 images of clothing, 28x28x1",
)
CIFAR10 = DataSet(
    name="cifar10",
    load=loaded_by(cifar10),
    paper="Krizhevsky 2009",
    summary="50,000 + 10,000 photographs, 10 classes, 32x32x3",
)
CIFAR100 = DataSet(
    name="cifar100",
    load=loaded_by(cifar100),
    paper="Krizhevsky 2009",
    summary="50,000 + 10,000 photographs, 100 classes, 32x32x3",
)
EMNIST_LETTERS = DataSet(
    name="emnist-letters",
    load=loaded_by(emnist_letters),
    paper="arXiv 1702.05373",
    summary="letters, 26 classes, 28x28x1",
)
EMNIST_DIGITS = DataSet(
    name="emnist-digits",
    load=loaded_by(emnist_digits),
    paper="arXiv 1702.05373",
    summary="digits, 10 classes, 28x28x1",
)
EMNIST_BALANCED = DataSet(
    name="emnist-balanced",
    load=loaded_by(emnist_balanced),
    paper="arXiv 1702.05373",
    summary="balanced digits and letters, 47 classes, 28x28x1",
)
