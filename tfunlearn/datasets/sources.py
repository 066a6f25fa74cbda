"""Data sets named by a file, a folder, or a name of TensorFlow Datasets."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import user_path
from tfunlearn.datasets import table_reading
from tfunlearn.datasets.arrays import ArraySettings, kind_of_arrays, load_arrays
from tfunlearn.datasets.client_database import DatabaseSettings, load_database
from tfunlearn.datasets.dataset import DataSet
from tfunlearn.datasets.image_folder import SUFFIXES as IMAGE_SUFFIXES
from tfunlearn.datasets.image_folder import ImageFolderSettings, load_image_folder
from tfunlearn.datasets.leaf import LeafSettings, load_leaf
from tfunlearn.datasets.table import TableSettings, load_table
from tfunlearn.datasets.tfds_names import TfdsSettings, load_tfds

TFDS = "tfds:"
SPREADSHEETS = (".xlsx", ".xls", ".ods")


@dataclass(frozen=True)
class Source:
    """A kind of files or names that are data sets.

    Attributes:
        what: description for lists and messages, such as `FILE.csv`.
        summary: one-line description.
        settings: settings of its data sets.
        load: `(path, data_dir, own settings, prepared or None) -> LabeledData`.
        kind: kind of its features, see `DataSet`.
    """

    what: str
    summary: str
    settings: type
    load: Callable[[str, str, Any, Mapping | None], Any]
    kind: str | None = None


TABLE = Source(
    "FILE.csv, .tsv, .parquet, .jsonl, or a folder of save_to_disk",
    "a table with a column of labels; with --text-column, text",
    TableSettings,
    lambda path, data_dir, own, prepared: load_table(path, own, prepared),
    "table",
)
ARRAYS = Source(
    "FILE.npz, or a folder of .npy files",
    "arrays x_train, y_train, optionally client_train, id_train, x_test, y_test",
    ArraySettings,
    load_arrays,
)
IMAGES = Source(
    "FOLDER of train/CLASS/*.png or .jpg",
    "images in a folder for each class, optionally test/CLASS",
    ImageFolderSettings,
    load_image_folder,
    "images",
)
LEAF = Source(
    "FOLDER of LEAF (train/*.json, test/*.json)",
    "federated data of the LEAF benchmark; users become clients",
    LeafSettings,
    lambda path, data_dir, own, prepared: load_leaf(path, own, prepared),
)
DATABASE = Source(
    "FILE.sqlite of TensorFlow Federated",
    "client data that TFF saved; clients stay clients",
    DatabaseSettings,
    lambda path, data_dir, own, prepared: load_database(path, own, prepared),
)
NAMED = Source(
    "tfds:NAME or tfds:NAME/CONFIG",
    "a data set of TensorFlow Datasets: images, text or a table",
    TfdsSettings,
    load_tfds,
)
BY_SUFFIX = {".npz": ARRAYS, ".sqlite": DATABASE, **dict.fromkeys(table_reading.SUFFIXES, TABLE)}
SOURCES = (ARRAYS, IMAGES, TABLE, LEAF, DATABASE, NAMED)


def data_set_at(name: str) -> tuple[str, DataSet] | None:
    """Return canonical name and data set of a file, folder or TFDS name; None for other names.

    Raises:
        UserError: it looks like a file or folder but does not exist, or is of no known kind.
    """
    if name.startswith(TFDS):
        return name, _data_set(NAMED, name)
    suffix = pathlib.PurePath(name).suffix.lower()
    is_file = suffix in BY_SUFFIX
    own = user_path(name)
    is_path = os.sep in name or name in (".", "..") or own.is_file() or _holds_data(own)
    if not is_file and (":" in name or not is_path):
        return None
    path = os.path.abspath(user_path(name))
    if not os.path.exists(path) and suffix not in BY_SUFFIX:
        raise _missing(name)
    return path, _data_set(_source_of(path, name), path)  # a report needs no data, only the name


def _holds_data(folder: pathlib.Path) -> bool:
    """Return whether a path is a folder that looks like a data set."""
    names = ("train", "x_train*.npy", "state.json")
    return folder.is_dir() and (
        any(any(folder.glob(name)) for name in names) or _holds_classes(folder)
    )


def _holds_classes(folder: pathlib.Path) -> bool:
    """Return whether the folders in a folder hold images."""
    return folder.is_dir() and any(
        path.suffix.lower() in IMAGE_SUFFIXES for path in folder.glob("*/*")
    )


def _data_set(source: Source, path: str) -> DataSet:
    load = functools.partial(_load, source, path)
    return DataSet(
        name=path,
        summary=source.summary,
        settings=source.settings,
        load=load,
        reload=load,
        kind=kind_of_arrays(path) if source is ARRAYS else source.kind,
    )


def _load(
    source: Source, path: str, data_dir: str, own: Any, prepared: Mapping | None = None
) -> Any:
    if not path.startswith(TFDS) and not os.path.exists(path):
        raise _missing(path)
    return source.load(path, data_dir, own, prepared)


def _missing(name: str) -> UserError:
    return UserError(f"dataset: must be a file or folder that exists; got {name!r}")


def _source_of(path: str, name: str) -> Source:
    """Return the kind of a file or folder.

    Raises:
        UserError: it is of no known kind.
    """
    suffix = pathlib.PurePath(path).suffix.lower()
    if not os.path.isdir(path):
        if suffix in BY_SUFFIX:
            return BY_SUFFIX[suffix]
    else:
        folder = pathlib.Path(path)
        if (folder / "x_train.npy").exists() or any(folder.glob("x_train.*.npy")):
            return ARRAYS
        if (folder / "state.json").exists():
            return TABLE
        if any((folder / "train").glob("*.json")):
            return LEAF
        if (folder / "train").is_dir():
            return IMAGES
        if _holds_classes(folder):
            parent = folder.parent if folder.name in ("train", "test") else folder
            raise UserError(
                f"dataset: {name} holds folders of images; give a folder in which they are below "
                f"train, as {parent}/train/CLASS"
            )
    if suffix in SPREADSHEETS:
        raise UserError(f"dataset: {name} is a spreadsheet, which is not read; save it as CSV")
    kinds = "; ".join(source.what for source in SOURCES)
    raise UserError(f"dataset: {name} is of no known kind; known are {kinds}")
