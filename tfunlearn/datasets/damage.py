"""Diagnosis of unreadable data sets on disk."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, cast

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.lazy import tf


def damaged(
    name: str, path: str | os.PathLike, reason: str, *, remove: str | os.PathLike
) -> UserError:
    """Return the error for a data set whose file or folder `path` is unreadable.

    `remove` is the file or folder to delete before the data set is downloaded again.
    """
    return UserError(
        f"dataset: {name} is damaged: {path} ({reason}); remove {remove} and fetch "
        "the data set again"
    )


def broken_json(folder: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Return the first unreadable JSON file in or below a folder and the reason, or None."""
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return path, reason_of(error)
    return None


def broken_shard(files: Mapping[str, int]) -> tuple[str, str] | None:
    """Return the first missing or incomplete TFRecord file and the reason, or None.

    Args:
        files: mapping from file path to expected number of records.
    """
    for path, expected in files.items():
        if not os.path.isfile(path):
            return path, "it is missing"
        try:
            found = sum(1 for _ in tf.data.TFRecordDataset(path))
        except tf.errors.OpError as error:
            return path, reason_of(error)
        if found != expected:
            return path, f"{found} records in place of {expected}"
    return None


def reason_of(error: Exception) -> str:
    """Return the first line of an error message without the name of the TensorFlow function."""
    text = first_line(error)
    if isinstance(error, tf.errors.OpError):
        message = str(cast(Any, error).message)
        text = message.partition("}} ")[2] or message
    return text.partition("\n")[0].partition(" [Op:")[0]
