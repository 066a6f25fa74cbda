"""Federated EMNIST from TFF's loader; each client is one writer."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.lazy import tff
from tfunlearn.datasets.damage import damaged
from tfunlearn.datasets.dataset import DataSet, loaded_by
from tfunlearn.datasets.images import ImageData

FILE = "emnist_all.sqlite"
URL = f"https://storage.googleapis.com/tff-datasets-public/{FILE}.lzma"


def femnist(data_dir: str) -> ImageData:
    """Return all 62 classes (digits, upper and lower case), 3,400 writers (arXiv 1812.01097)."""
    return _load("femnist", data_dir, only_digits=False, classes=62)


def femnist_digits(data_dir: str) -> ImageData:
    """Return the digits only, 10 classes, 3,383 writers (arXiv 1812.01097)."""
    return _load("femnist-digits", data_dir, only_digits=True, classes=10)


def _load(name: str, data_dir: str, *, only_digits: bool, classes: int) -> ImageData:
    target = pathlib.Path(data_dir) / FILE
    was_there = target.exists()
    try:
        train, test = tff.simulation.datasets.emnist.load_data(only_digits, cache_dir=data_dir)
    except BaseException as error:  # the downloader raises errors of many types
        if not was_there and target.exists():
            os.remove(target)  # TFF would use a partial download as complete next time
        if not isinstance(error, Exception):
            raise
        if was_there:
            raise damaged(
                name, target, f"no data base of FEMNIST: {first_line(error)}", remove=target
            )
        raise UserError(
            f"dataset: {name} is not under {data_dir} and could not be downloaded "
            f"({first_line(error)}); fetch {URL}, unpack it, and put it at {target}"
        )
    return from_client_data(name, train, test, classes)


def from_client_data(name: str, train, test, classes: int) -> ImageData:
    """Return the `ImageData` of two `tff.simulation.datasets.ClientData` with `label` and `pixels`.

    Args:
        name: name of the data set.
        train: training examples of every writer.
        test: test examples of every writer.
        classes: number of classes.
    """
    images, labels, sizes = _read(train)
    test_images, test_labels, _ = _read(test)
    writers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return ImageData(name, images, labels, test_images, test_labels, classes, writers)


def like_mnist(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 `(n, 28, 28, 1)` with background 0 from floats with background 1.0."""
    return np.rint((1.0 - pixels) * 255).clip(0, 255).astype(np.uint8)[..., None]


def _read(client_data) -> tuple[np.ndarray, np.ndarray, list[int]]:
    images, labels = [], []
    for writer in progress(sorted(client_data.client_ids)):
        data_set = client_data.create_tf_dataset_for_client(writer).batch(100_000)
        columns = next(iter(data_set.as_numpy_iterator()))
        images.append(like_mnist(columns["pixels"]))
        labels.append(columns["label"].astype(np.int32))
    return np.concatenate(images), np.concatenate(labels), [len(part) for part in labels]


def progress(writers: list) -> Iterable:
    """Iterate over writers, with a progress bar and ETA on a terminal for 100 or more writers."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        writers,
        "reading writers",
        console=console,
        disable=not console.is_terminal or len(writers) < 100,
    )


FEMNIST = DataSet(
    name="femnist",
    load=loaded_by(femnist),
    paper="arXiv 1812.01097",
    summary="62 classes of 3,400 writers, 28x28x1, one client per writer",
)
FEMNIST_DIGITS = DataSet(
    name="femnist-digits",
    load=loaded_by(femnist_digits),
    paper="arXiv 1812.01097",
    summary="10 classes of 3,383 writers, 28x28x1, one client per writer",
)
