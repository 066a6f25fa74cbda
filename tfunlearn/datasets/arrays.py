"""Arrays of one's own: from Python, a `.npz` file, or a folder of `.npy` files."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line, nearest
from tfunlearn.core.features import take_rows
from tfunlearn.core.files import replacing
from tfunlearn.datasets.class_names import as_texts, classes_of_labels, encode, names_of_clients
from tfunlearn.datasets.held_out import DEFAULT_SHARE, HeldOutSettings, held_out, refuse_share
from tfunlearn.datasets.labeled_data import LabeledData, require_finite, stored_features
from tfunlearn.datasets.prepared import checksums, require_same_files

KEYS = "x_train, y_train, optionally client_train and id_train, and x_test with y_test"
ALLOWED = ("x_train", "y_train", "client_train", "id_train", "x_test", "y_test")
MAPPED_BYTES = 256 << 20  # larger arrays stay on disk


@dataclass(frozen=True)
class ArraySettings(HeldOutSettings):
    """Settings of arrays from files."""


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    name: str = "arrays",
    clients: Any = None,
    ids: Any = None,
    class_names: Sequence[str] | None = None,
    vocabulary: int | None = None,
    test_share: float = DEFAULT_SHARE,
    classes: Sequence[str] | None = None,
) -> LabeledData:
    """Return arrays as a data set for `run_config(dataset=...)`.

    Args:
        x_train: features, one row per example, or a mapping from input name to such arrays. uint8
            `(N, h, w)` and `(N, h, w, c)` are images, other whole numbers token ids or counts.
        y_train: labels `(N,)`, whole numbers or text.
        x_test, y_test: the test examples; default a share of every class.
        name: name of the data.
        clients: natural client of each training example, `(N,)`; default none.
        ids: identifier of each training example, `(N,)`, unique; default none.
        class_names: name of each class, in sorted order of the labels; default the labels.
        vocabulary: number of token ids; default none. The text models need it.
        test_share: share of every class that is held out without `x_test`; default 0.2.
        classes: the labels in the order of their numbers; default sorted.

    Raises:
        UserError: arrays that do not fit; a NaN, with its row.
    """
    if (x_test is None) != (y_test is None):
        raise UserError("dataset: must have both x_test and y_test, or neither; got one of them")
    labels = as_texts(_flat(y_train, "y_train"), lambda row: f"y_train[{row}]")
    x_train = _rows(x_train, len(labels), "x_train")
    for field, values in (("clients", clients), ("ids", ids)):
        if values is not None and np.shape(values) != (len(labels),):
            raise UserError(
                f"dataset: {field} of {name} must have one entry for each of {len(labels)} "
                f"training examples; got shape {np.shape(values)}"
            )
    if clients is not None:
        clients = names_of_clients(clients, lambda row: f"clients[{row}]", "client")
    if ids is not None:
        ids = np.asarray(ids).astype(str)
        found, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise UserError(
                f"dataset: identifiers of {name} must be unique; got "
                f"{str(found[counts > 1][0])!r} twice"
            )
    test_ids = None
    if x_test is None:
        x_train = stored_features(name, x_train)
        require_finite(name, "x_train", x_train)
        mask = held_out(np.array(labels), test_share)
        rows = np.flatnonzero(~mask)
        x_test, test_labels = take_rows(x_train, mask), np.array(labels)[mask].tolist()
        x_train, labels = take_rows(x_train, rows), np.array(labels)[rows].tolist()
        test_ids = None if ids is None else ids[mask]
        clients, ids = (None if one is None else np.asarray(one)[rows] for one in (clients, ids))
    else:
        test_labels = as_texts(_flat(y_test, "y_test"), lambda row: f"y_test[{row}]")
        x_test = _rows(x_test, len(test_labels), "x_test")
    classes = classes_of_labels(labels, name) if classes is None else list(classes)
    return LabeledData(
        name,
        x_train,
        encode(labels, classes, lambda row: f"y_train[{row}]"),
        x_test,
        encode(test_labels, classes, lambda row: f"y_test[{row}]"),
        len(classes),
        writers=None if clients is None else np.asarray(clients),
        class_names=tuple(class_names or classes),
        ids=ids,
        vocabulary=vocabulary,
        test_ids=test_ids,
        prepared={"classes": classes},
    )


def load_arrays(
    path: str, data_dir: str, own: ArraySettings, prepared: Mapping | None = None
) -> LabeledData:
    """Return the data of a `.npz` file, or of a folder of `.npy` files.

    Large arrays stay on disk: those of `.npy` files and of uncompressed `.npz` files are mapped
    where they are; large compressed ones are unpacked once into `data_dir`.

    Args:
        path: the file or folder, with `x_train`, `y_train`, optionally `client_train`, `id_train`,
            `x_test` and `y_test`. Several inputs are `x_train.NAME` and `x_test.NAME`.
        data_dir: folder for unpacked arrays.
        own: settings.
        prepared: what a run stored; default none.

    Raises:
        UserError: it cannot be read, lacks an array, or arrays do not fit.
    """
    if os.path.isdir(path):
        members = sorted(str(file) for file in pathlib.Path(path).glob("*.npy"))
        files = checksums(members)
    else:
        files = checksums([path])
    if prepared is not None:
        require_same_files(prepared["files"], files)
    try:
        arrays = (
            {pathlib.Path(file).stem: np.load(file, mmap_mode="r") for file in members}
            if os.path.isdir(path)
            else _read_npz(path, pathlib.Path(data_dir) / "unpacked" / next(iter(files.values())))
        )
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"dataset: {path} cannot be read as arrays ({first_line(error)})")
    for key in arrays:
        if key.partition(".")[0] not in ALLOWED:
            raise UserError(f"dataset: {path} must hold {KEYS}; got {key}{nearest(key, ALLOWED)}")
    if "y_train" not in arrays:
        raise UserError(f"dataset: {path} must hold {KEYS}; got {', '.join(arrays) or 'nothing'}")
    has_test = "y_test" in arrays or any(key.startswith("x_test") for key in arrays)
    if has_test:
        refuse_share(own, "x_test in the file")
    data = from_arrays(
        _inputs(path, arrays, "x_train"),
        arrays["y_train"],
        _inputs(path, arrays, "x_test") if has_test else None,
        arrays.get("y_test"),
        name=os.path.basename(path),
        clients=arrays.get("client_train"),
        ids=arrays.get("id_train"),
        test_share=own.test_share,
        classes=None if prepared is None else prepared["classes"],
    )
    return dataclasses.replace(data, prepared={**(data.prepared or {}), "files": files})


def _read_npz(path: str, unpacked: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file; large ones are mapped, not read."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if entry.file_size < MAPPED_BYTES:
                with archive.open(entry) as file:
                    found[name] = np.lib.format.read_array(file, allow_pickle=False)
            elif entry.compress_type == zipfile.ZIP_STORED:
                found[name] = _mapped(path, entry)
            else:
                found[name] = _unpacked(archive, entry, unpacked / entry.filename)
    return found


def _mapped(path: str, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return an uncompressed array of a `.npz` file, mapped from where it lies in the file."""
    with open(path, "rb") as file:
        file.seek(entry.header_offset + 26)  # lengths of name and extra field, then these
        lengths = int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little")
        file.seek(entry.header_offset + 30 + lengths)
        shape, fortran, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds objects")
        return np.memmap(path, dtype, "r", file.tell(), shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, Fortran order and dtype of an open `.npy` file, and move to its data."""
    first = np.lib.format.read_magic(file) == (1, 0)
    form = np.lib.format
    return form.read_array_header_1_0(file) if first else form.read_array_header_2_0(file)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: pathlib.Path) -> np.ndarray:
    """Return a compressed array of a `.npz` file, unpacked once, mapped."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary, archive.open(entry) as packed:
            with open(temporary, "wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    return np.load(target, mmap_mode="r", allow_pickle=False)


def _inputs(path: str, arrays: Mapping[str, np.ndarray], key: str) -> Any:
    """Return `x_train`, or the mapping of all `x_train.NAME`."""
    if key in arrays:
        return arrays[key]
    start = f"{key}."
    found = {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)}
    if not found:
        raise UserError(f"dataset: {path} must hold {KEYS}; got {', '.join(arrays)}")
    return found


def _flat(labels: Any, field: str) -> np.ndarray:
    found = np.asarray(labels)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise UserError(
            f"dataset: {field} must be of shape (n,); got {found.shape}"
            + ("; of one-hot rows take argmax(axis=1)" if found.ndim == 2 else "")
        )
    return found


def _rows(features: Any, count: int, field: str) -> Any:
    """Return features, checked to have one row for each of `count` labels."""
    parts = features if isinstance(features, Mapping) else {"": features}
    arrays = {
        name: part if isinstance(part, np.ndarray) else np.asarray(part)
        for name, part in parts.items()
    }
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) != count:
            raise UserError(
                f"dataset: {field}{name and f'.{name}'} must have one row for each of {count} "
                f"labels; got shape {array.shape}"
            )
    return arrays if isinstance(features, Mapping) else arrays[""]


def kind_of_arrays(path: str) -> str | None:
    """Return the kind of the features in a file, by the shape in its header alone: images, table.

    None for several inputs, other shapes, and files that cannot be read.
    """
    try:
        if os.path.isdir(path):
            shape = np.load(os.path.join(path, "x_train.npy"), mmap_mode="r").shape
        else:
            with zipfile.ZipFile(path) as archive, archive.open("x_train.npy") as file:
                shape = _header(file)[0]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return {1: "table", 2: "table", 3: "images", 4: "images"}.get(len(shape))
