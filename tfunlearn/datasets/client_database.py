"""Client data that TensorFlow Federated saved in SQLite; clients stay clients."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.fields import option
from tfunlearn.core.lazy import tf
from tfunlearn.datasets.class_names import as_texts, classes_of_labels, encode
from tfunlearn.datasets.femnist import EXAMPLES, open_database
from tfunlearn.datasets.held_out import HeldOutSettings, held_out
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.leaf import ShapeSettings, numbers_of
from tfunlearn.datasets.prepared import checksums, require_file, require_same_files
from tfunlearn.datasets.reading_progress import reading
from tfunlearn.datasets.tokens import TextSettings, apply_text, fit_text, vocabulary_of

CLIENTS = "SELECT DISTINCT client_id FROM client_metadata WHERE split_name = ? ORDER BY client_id"
SPLITS = "SELECT DISTINCT split_name FROM client_metadata ORDER BY split_name"


@dataclass(frozen=True)
class DatabaseSettings(ShapeSettings, TextSettings, HeldOutSettings):
    """Settings of TFF's client data."""

    label_key: str | None = option(None, "Name of the labels in the examples; none: label.")
    feature_key: str | None = option(
        None, "Name of the features in the examples; none: the only other one."
    )
    train_split: str | None = option(None, "Split of the training examples; none: train, or all.")
    test_split: str | None = option(
        None, "Split of the test examples; none: test, or a share of every class."
    )

    def __post_init__(self):
        ShapeSettings.__post_init__(self)
        TextSettings.__post_init__(self)
        HeldOutSettings.__post_init__(self)


def load_database(path: str, own: DatabaseSettings, prepared: Mapping | None = None) -> LabeledData:
    """Return the data of a file written by TFF's `save_to_sql_client_data`.

    The file keeps neither shape nor type of an example: numbers are float32 of `shape`, and bytes
    are text, which becomes token ids.

    Args:
        path: the file.
        own: settings.
        prepared: what a run stored; default none.

    Raises:
        UserError: it cannot be read, or lacks a split or a key.
    """
    files = checksums([require_file(path)])
    if prepared is not None:
        require_same_files(prepared["files"], files)
    try:
        with contextlib.closing(open_database(path)) as database:
            splits = [name for (name,) in database.execute(SPLITS)]
            train = _split(path, splits, own.train_split, "train", "train_split")
            test = _split(path, splits, own.test_split, "test", "test_split", least=2)
            parts = [_read(path, database, split, own) for split in (train, test) if split]
    except sqlite3.Error as error:
        raise UserError(
            f"dataset: {path} must be client data that TensorFlow Federated saved in SQLite "
            f"({first_line(error)})"
        )
    values, labels, clients, _ = parts[0]
    if len(parts) == 1:
        mask = held_out(np.array(labels), own.test_share)
        both = [np.flatnonzero(~mask), np.flatnonzero(mask)]
        parts = [tuple([column[row] for row in rows] for column in parts[0]) for rows in both]
        values, labels, clients, _ = parts[0]
    classes = classes_of_labels(labels, path) if prepared is None else list(prepared["classes"])
    fitted = None if prepared is None else prepared["features"]
    if isinstance(values[0], str):
        fitted = fit_text(values, own) if fitted is None else fitted
        features = [apply_text(fitted, part[0], part[3].__getitem__) for part in parts]
    else:
        features = [numbers_of(part[0], own.sizes, part[3].__getitem__) for part in parts]
    encoded = [encode(part[1], classes, part[3].__getitem__) for part in parts]
    return LabeledData(
        os.path.basename(path),
        features[0],
        encoded[0],
        features[1],
        encoded[1],
        len(classes),
        writers=np.array(clients),
        class_names=tuple(classes),
        vocabulary=None if fitted is None else vocabulary_of(fitted),
        prepared=dict(files=files, classes=classes, features=fitted),
    )


def _split(
    path: str, splits: list[str], asked: str | None, ending: str, field: str, least: int = 1
) -> str | None:
    """Return the split of a setting; by default the only one, or the one with this ending."""
    if asked is not None:
        if asked not in splits:
            raise UserError(
                f"{field}: {os.path.basename(path)} has the splits {', '.join(splits)}; got "
                f"{asked!r}"
            )
        return asked
    found = [name for name in splits if name == ending or name.endswith(f"_{ending}")]
    if len(found) > 1:
        raise UserError(
            f"{field}: must be one of the splits {', '.join(found)} of {os.path.basename(path)}"
        )
    if found:
        return found[0]
    if least == 1 and len(splits) > 1:
        raise UserError(
            f"{field}: must be one of the splits {', '.join(splits)} of {os.path.basename(path)}"
        )
    return splits[0] if least == 1 and splits else None


def _read(path: str, database: sqlite3.Connection, split: str, own: DatabaseSettings):
    """Return values, labels, clients and places of a split, in the order of the file."""
    values, labels, clients, places = [], [], [], []
    for (client,) in reading(database.execute(CLIENTS, [split]).fetchall(), "reading clients"):
        for number, (content,) in enumerate(database.execute(EXAMPLES, [client, split])):
            place = f"{os.path.basename(path)}, client {client}, example {number + 1}"
            example = _example(content, place)
            label = own.label_key or "label"
            if label not in example:
                raise UserError(
                    f"label_key: {place} has {', '.join(sorted(example))}; got {label!r}"
                )
            others = sorted(key for key in example if key != label)
            key = own.feature_key or (others[0] if len(others) == 1 else None)
            if key not in others:
                raise UserError(f"feature_key: must be one of {', '.join(others)}; got {key!r}")
            found = example[key]
            values.append(
                " ".join(part.decode("utf-8", "replace") for part in found)
                if found and isinstance(found[0], bytes)
                else found
            )
            if len(example[label]) != 1:
                raise UserError(
                    f"dataset: {place}: {label} must be one class; got {len(example[label])} values"
                )
            labels += as_texts(example[label], lambda _, at=place: at)
            clients.append(str(client))
            places.append(place)
    return values, labels, clients, places


def _example(content: bytes, place: str) -> dict[str, list]:
    try:
        features = tf.train.Example.FromString(content).features.feature
    except Exception as error:  # protobuf's errors are of many types
        raise UserError(f"dataset: {place} is no tf.train.Example ({first_line(error)})")
    return {
        key: list(getattr(value, value.WhichOneof("kind") or "int64_list").value)
        for key, value in features.items()
    }
