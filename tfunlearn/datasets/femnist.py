"""Federated EMNIST from the database published with TFF; each client is one writer."""

from __future__ import annotations

import contextlib
import lzma
import pathlib
import shutil
import sqlite3
import urllib.request
from typing import BinaryIO

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import replacing
from tfunlearn.core.lazy import tf
from tfunlearn.datasets.damage import damaged, reason_of
from tfunlearn.datasets.dataset import DataSet, loaded_by
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.reading_progress import reading

FILE = "emnist_all.sqlite"
URL = f"https://storage.googleapis.com/tff-datasets-public/{FILE}.lzma"
SILENCE_SECONDS = 60  # without a byte from the server, a download has failed
WRITERS = "SELECT DISTINCT client_id FROM client_metadata WHERE split_name = ?"
# The type of a value is free in SQLite: an example may have been stored as text.
EXAMPLES = """
    SELECT CAST(serialized_example_proto AS BLOB) FROM examples
    WHERE client_id = ? AND split_name = ? ORDER BY rowid
"""


def femnist(data_dir: str) -> LabeledData:
    """Return all 62 classes (digits, upper and lower case), 3,400 writers (arXiv 1812.01097)."""
    return _load("femnist", data_dir, splits="all", classes=62)


def femnist_digits(data_dir: str) -> LabeledData:
    """Return the digits only, 10 classes, 3,383 writers (arXiv 1812.01097)."""
    return _load("femnist-digits", data_dir, splits="digits_only", classes=10)


def _load(name: str, data_dir: str, *, splits: str, classes: int) -> LabeledData:
    """Read the splits `<splits>_train` and `<splits>_test`."""
    target = pathlib.Path(data_dir) / FILE
    if not target.exists():
        _download(name, target)
    try:
        with contextlib.closing(open_database(target)) as database:
            _require_whole(target, database)
            images, labels, writers = _read(database, f"{splits}_train")
            test_features, test_labels, _ = _read(database, f"{splits}_test")
        return LabeledData(name, images, labels, test_features, test_labels, classes, writers)
    except (sqlite3.Error, tf.errors.OpError, ValueError) as error:
        raise damaged(name, target, reason_of(error), remove=target)


def open_database(path: str | pathlib.Path) -> sqlite3.Connection:
    """Open a database read-only, without locks and without journal or other files beside it."""
    return sqlite3.connect(
        f"{pathlib.Path(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True
    )


def _require_whole(path: pathlib.Path, database: sqlite3.Connection) -> None:
    """Raise ValueError if the end of the file is missing, for which SQLite would read zeros."""
    (pages,), (page_size,) = (
        database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    size = path.stat().st_size
    if size < pages * page_size:
        raise ValueError(f"{size:,} bytes in place of {pages * page_size:,}")


def _download(name: str, target: pathlib.Path) -> None:
    """Download and unpack the database; `target` exists only when it is complete."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(target) as temporary,
            open(temporary, "wb") as file,
            urllib.request.urlopen(URL, timeout=SILENCE_SECONDS) as response,
            _with_bar(response) as packed,
            lzma.open(packed) as unpacked,
        ):
            shutil.copyfileobj(unpacked, file, 1 << 20)
    except Exception as error:  # network, packed data and disk raise errors of many types
        raise UserError(
            f"dataset: {name} is not under {target.parent} and could not be downloaded "
            f"({first_line(error)}); fetch {URL}, unpack it, and put it at {target}"
        )


def _with_bar(response) -> contextlib.AbstractContextManager[BinaryIO]:
    """Return the response as a file whose reading shows a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    return wrap_file(
        response,
        total=int(response.headers.get("content-length") or 0),
        description=f"downloading {FILE}",
        console=console,
        disable=not console.is_terminal,
    )


def _read(database: sqlite3.Connection, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, labels and writers of a split: writers in sorted order, examples as stored.

    Raises:
        ValueError: the split has no writers, or a writer has no examples or unreadable ones.
    """
    found = sorted(str(writer) for (writer,) in database.execute(WRITERS, [split]))
    if not found:
        raise ValueError(f"no writers in split {split}")
    images, labels = [], []
    for writer in reading(found, "reading writers", least=100):
        examples = [one for (one,) in database.execute(EXAMPLES, [writer, split])]
        try:
            pixels, label = _parse(examples)
        except (tf.errors.OpError, ValueError) as error:
            raise ValueError(f"writer {writer} in split {split}: {_why_unparsed(error)}")
        images.append(like_mnist(pixels))
        labels.append(label)
    sizes = [len(part) for part in labels]
    writers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return np.concatenate(images), np.concatenate(labels), writers


def _parse(examples: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, `(n, 28, 28)` float32, and labels, `(n,)` int64, of serialized examples."""
    if not examples:
        raise ValueError("no examples")
    columns = tf.io.parse_example(
        [example or b"" for example in examples],
        {
            "pixels": tf.io.FixedLenFeature((28, 28), tf.float32),
            "label": tf.io.FixedLenFeature((), tf.int64),
        },
    )
    pixels = columns["pixels"].numpy()
    if not np.isfinite(pixels).all():
        raise ValueError("pixels that are not finite")
    return pixels, columns["label"].numpy()


def _why_unparsed(error: Exception) -> str:
    """Return the reason of an error of `_parse`, without the bytes that TensorFlow quotes."""
    if isinstance(error, UnicodeDecodeError):  # quoted bytes that are no text
        return "Could not parse example input"
    return reason_of(error).removeprefix("Name: <unknown>, ").partition(", value:")[0]


def like_mnist(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 `(n, 28, 28, 1)` with background 0 from floats with background 1.0."""
    return np.rint((1.0 - pixels) * 255).clip(0, 255).astype(np.uint8)[..., None]


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
