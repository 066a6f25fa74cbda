"""Federated data in the JSON of LEAF; users become clients.

Reference:
    Caldas et al., "LEAF: A Benchmark for Federated Settings" (arXiv 1812.01097).
"""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.fields import option
from tfunlearn.datasets.class_names import Place, as_texts, classes_of_labels, encode
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.prepared import checksums, require_same_files
from tfunlearn.datasets.tokens import TextSettings, apply_text, fit_text, vocabulary_of


@dataclass(frozen=True)
class ShapeSettings:
    """Settings of data whose files lose the shape of an example."""

    shape: str | None = option(
        None, "Shape of an example, such as 28x28x1; none: a flat list of numbers."
    )

    def __post_init__(self):
        good = self.shape is None or re.fullmatch(r"\d{1,6}(x\d{1,6}){0,4}", self.shape)
        require("shape", self.shape, bool(good), "sizes separated by x, such as 28x28x1")

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The shape as numbers, or None."""
        return None if self.shape is None else tuple(map(int, self.shape.split("x")))


@dataclass(frozen=True)
class LeafSettings(ShapeSettings, TextSettings):
    """Settings of LEAF's data."""

    def __post_init__(self):
        ShapeSettings.__post_init__(self)
        TextSettings.__post_init__(self)


@dataclass(frozen=True)
class Users:
    """Examples of users.

    Attributes:
        x, y: the examples of all users, one after the other.
        users: user of each example.
        places: where each example stands.
    """

    x: list
    y: list
    users: list[str]
    places: list[str]

    def place(self, row: int) -> str:
        """Return where an example stands."""
        return self.places[row]


def load_leaf(path: str, own: LeafSettings, prepared: Mapping | None = None) -> LabeledData:
    """Return LEAF's data from `path`/train/*.json and `path`/test/*.json.

    Texts (also the last of five strings, as in Sent140) become token ids; numbers become float32 of
    `shape`. Entries of `user_data` that `users` does not name are ignored, as LEAF's older splitter
    leaves users behind that it dropped.

    Args:
        path: the folder.
        own: settings.
        prepared: what a run stored; default none.

    Raises:
        UserError: a file is unreadable or inconsistent, or examples are of a kind that is not
            supported (file names, labels that are mappings).
    """
    shards = {
        split: sorted(str(file) for file in (pathlib.Path(path) / split).glob("*.json"))
        for split in ("train", "test")
    }
    for split, found in shards.items():
        if not found:
            raise UserError(f"dataset: {path}/{split} must hold LEAF's .json files; got none")
    files = checksums(file for found in shards.values() for file in found)
    if prepared is not None:
        require_same_files(prepared["files"], files)
    parts = {split: _read(found) for split, found in shards.items()}
    labels = {
        split: as_texts(_plain_labels(part), part.place, spaces=True)
        for split, part in parts.items()
    }
    classes = (
        classes_of_labels(labels["train"], path) if prepared is None else list(prepared["classes"])
    )
    fitted = None if prepared is None else prepared["features"]
    features, fitted = _features(parts, own, fitted)
    return LabeledData(
        os.path.basename(path),
        features["train"],
        encode(labels["train"], classes, parts["train"].place),
        features["test"],
        encode(labels["test"], classes, parts["test"].place),
        len(classes),
        writers=np.array(parts["train"].users),
        class_names=tuple(classes),
        vocabulary=None if fitted is None else vocabulary_of(fitted),
        prepared=dict(files=files, classes=classes, features=fitted),
    )


def _read(shards: list[str]) -> Users:
    found = Users([], [], [], [])
    for file in shards:
        try:
            content = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
            users, data = [str(user) for user in content["users"]], content["user_data"]
            counts = content.get("num_samples") or [None] * len(users)
            if not isinstance(data, dict) or len(counts) != len(users):
                raise ValueError(f"{len(users)} users, {len(counts)} num_samples")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"dataset: {file} must be LEAF's JSON with users, num_samples and user_data "
                f"({type(error).__name__}: {first_line(error)})"
            )
        for number, (user, count) in enumerate(zip(users, counts, strict=False)):
            own = data.get(user)
            own = own if isinstance(own, dict) else {}
            sizes = {key: len(own[key]) for key in ("x", "y") if isinstance(own.get(key), list)}
            if len(sizes) < 2 or len(set(sizes.values())) != 1 or count not in (None, sizes["x"]):
                raise UserError(
                    f"dataset: {file}, user {user!r} ({number + 1}): must have as many x and y as "
                    f"num_samples says ({count}); got {sizes or 'none'}"
                )
            found.x.extend(own["x"])
            found.y.extend(own["y"])
            found.users.extend([str(user)] * sizes["x"])
            name = os.path.basename(file)
            found.places.extend(
                f"{name}, user {user}, example {row + 1}" for row in range(sizes["x"])
            )
    if not found.y:
        raise UserError(f"dataset: {os.path.dirname(shards[0])} must have examples; got none")
    return found


def _plain_labels(part: Users) -> list:
    for row, label in enumerate(part.y):
        if isinstance(label, (dict, list)):
            raise UserError(
                f"dataset: {part.place(row)}: label must be a number or text; got "
                f"{type(label).__name__}, which is no class (LEAF's reddit is not supported)"
            )
    return part.y


def _features(parts: Mapping[str, Users], own: LeafSettings, fitted: Mapping | None):
    first = parts["train"].x[0] if parts["train"].x else 0.0
    if isinstance(first, str) or (
        isinstance(first, list) and first and all(isinstance(one, str) for one in first)
    ):
        texts = {
            split: [_text(one, part.place, row) for row, one in enumerate(part.x)]
            for split, part in parts.items()
        }
        fitted = fit_text(texts["train"], own) if fitted is None else fitted
        return {
            split: apply_text(fitted, texts[split], part.place) for split, part in parts.items()
        }, fitted
    return {split: numbers_of(part.x, own.sizes, part.place) for split, part in parts.items()}, None


def _text(value: Any, place: Place, row: int) -> str:
    """Return the text of an example: a string, or the last of several."""
    text = value[-1] if isinstance(value, list) and value else value
    if not isinstance(text, str) or text.lower().endswith((".jpg", ".png")):
        raise UserError(
            f"dataset: {place(row)}: x must be numbers or text; got {str(text)[:40]!r}; for file "
            "names, put the images in folders (train/CLASS/FILE)"
        )
    return text


def numbers_of(rows: list, shape: tuple[int, ...] | None, place: Place) -> np.ndarray:
    """Return lists of numbers as float32 `(n, *shape)`.

    Raises:
        UserError: rows of different lengths, or of another size than the shape.
    """
    wanted = int(np.prod(shape)) if shape else np.size(rows[0])
    for row, values in enumerate(rows):
        if np.size(values) != wanted:
            raise UserError(
                f"shape: {place(row)} must have {wanted} numbers"
                f"{f' ({chr(120).join(map(str, shape))})' if shape else ''}; got {np.size(values)}"
            )
    for row, values in enumerate(rows):
        try:
            np.asarray(values, np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"dataset: {place(row)} must be numbers ({first_line(error)})")
    return np.asarray(rows, np.float32).reshape(len(rows), *(shape or (wanted,)))
