"""Images in a folder for each class, decoded once and cached as arrays."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.features import take_rows
from tfunlearn.core.fields import option
from tfunlearn.core.files import replacing
from tfunlearn.datasets.class_names import classes_of_labels, encode
from tfunlearn.datasets.held_out import HeldOutSettings, held_out, refuse_share
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.reading_progress import reading

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
COLORS = {"auto": None, "gray": 1, "rgb": 3}


@dataclass(frozen=True)
class ImageFolderSettings(HeldOutSettings):
    """Settings of image folders."""

    resize: str | None = option(
        None, "Size of the images as HEIGHTxWIDTH; none: all must have one size."
    )
    color: str = option(
        "auto", "Channels: gray, rgb, or auto, which is gray if every image is gray."
    )
    client_pattern: str | None = option(
        None, "Regular expression whose first group in a file's path names its natural client."
    )

    def __post_init__(self):
        super().__post_init__()
        require("color", self.color, self.color in COLORS, f"one of {', '.join(COLORS)}")
        found = self.resize is None or re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}", self.resize)
        require("resize", self.resize, bool(found), "HEIGHTxWIDTH, such as 32x32")
        if self.client_pattern is not None:
            try:
                groups = re.compile(self.client_pattern).groups
            except re.error as error:
                raise UserError(f"client_pattern: {self.client_pattern!r} is invalid ({error})")
            require("client_pattern", self.client_pattern, groups >= 1, "one group in parentheses")

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, or None."""
        if self.resize is None:
            return None
        height, _, width = self.resize.partition("x")
        return int(height), int(width)


def load_image_folder(
    path: str, data_dir: str, own: ImageFolderSettings, prepared: Mapping | None = None
) -> LabeledData:
    """Return the images of `path`/train/CLASS and `path`/test/CLASS.

    Classes and files are in the order of their code points, as in Keras; hidden files and folders
    are skipped. The identifier of an image is its path below `train`, such as `cat/0017.png`.
    Decoded images are kept below `data_dir`, under the checksum of all files, and mapped from
    there. An alpha channel is removed, not blended, and EXIF rotation is not applied, as in Keras.

    Args:
        path: the folder.
        data_dir: folder of the cache.
        own: settings.
        prepared: what a run stored; default none.

    Raises:
        UserError: an empty class, an unreadable image, images of different sizes, or files that
            have changed since a run.
    """
    root = pathlib.Path(path)
    names = {"train": _images_in(root / "train")}
    if (root / "test").is_dir():
        names["test"] = _images_in(root / "test")
    digest = _digest(root, names, own)
    if prepared is not None and prepared["sha256"] != digest:
        raise UserError(
            f"dataset: images in {path} have changed since the run began; put back the files that "
            "the run was trained on, since its examples are counted in them"
        )
    cache = pathlib.Path(data_dir) / "image-folders" / digest[:32]
    labels = {split: [os.path.dirname(name) for name in found] for split, found in names.items()}
    classes = (
        classes_of_labels(sorted(labels["train"]), path)
        if prepared is None
        else (list(prepared["classes"]))
    )
    classes = sorted(classes)  # by code point: folders are names, also 10 before 2
    rows, test_ids = np.arange(len(labels["train"])), None
    files = np.array(names["train"])
    encoded = {
        split: encode(found, classes, lambda row, split=split: f"{split}/{names[split][row]}")
        for split, found in labels.items()
    }
    if "test" in names:
        refuse_share(own, "a folder test")
    arrays = {
        split: _decoded(root / split, found, own, cache / f"{split}.npy")
        for split, found in names.items()
    }
    if "test" in arrays:
        test, test_labels = arrays["test"], encoded["test"]
        test_ids = np.array(names["test"])
    else:
        mask = held_out(encoded["train"], own.test_share)
        rows = np.flatnonzero(~mask)
        test = np.asarray(arrays["train"][np.flatnonzero(mask)])
        test_labels, test_ids = encoded["train"][mask], files[mask]
    if arrays["train"].shape[1:] != test.shape[1:]:
        raise UserError(
            f"dataset: images in {path}/test must be of the size and color of those in train, "
            f"{arrays['train'].shape[1:]}; got {test.shape[1:]}; give --resize or --color"
        )
    return LabeledData(
        root.name,
        take_rows(arrays["train"], rows) if len(rows) < len(files) else arrays["train"],
        encoded["train"][rows],
        test,
        test_labels,
        len(classes),
        writers=_clients(files[rows], own),
        class_names=tuple(classes),
        ids=files[rows],
        test_ids=test_ids,
        prepared=dict(sha256=digest, classes=classes, folder=str(root)),
    )


def _images_in(folder: pathlib.Path) -> list[str]:
    """Return the paths of all images, `CLASS/FILE`.

    Raises:
        UserError: there are no classes, or a class has no image.
    """
    classes = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    found = []
    for name in classes:
        files = sorted(
            entry.name
            for entry in os.scandir(folder / name)
            if entry.is_file()
            and not entry.name.startswith(".")
            and entry.name.lower().endswith(SUFFIXES)
        )
        if not files:
            raise UserError(
                f"dataset: {folder / name} must hold images ({', '.join(SUFFIXES)}); got none; "
                "remove the folder, or add some"
            )
        found += [f"{name}/{file}" for file in files]
    if not found:
        raise UserError(f"dataset: {folder} must have a folder of images for each class; got none")
    return found


def _digest(root: pathlib.Path, names: Mapping[str, Sequence[str]], own: Any) -> str:
    """Return the SHA-256 of all images' paths and content, and of the settings of decoding."""
    whole = hashlib.sha256(f"{own.resize} {own.color}\n".encode())
    files = [f"{split}/{name}" for split, found in names.items() for name in found]
    for name in reading(files, "checking images"):
        whole.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        whole.update(hashlib.sha256((root / name).read_bytes()).digest())
    return whole.hexdigest()


def _decoded(
    folder: pathlib.Path, names: Sequence[str], own: ImageFolderSettings, target: pathlib.Path
) -> np.ndarray:
    """Return all images, uint8 `(n, height, width, channels)`, mapped from the cache."""
    if not target.exists():
        channels = COLORS[own.color] or _channels(folder, names)
        first = _decode(folder / names[0], channels, own.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(target) as temporary:
                images = np.lib.format.open_memmap(
                    temporary, "w+", np.uint8, (len(names), *first.shape)
                )
                for row, name in enumerate(reading(names, "reading images")):
                    image = _decode(folder / name, channels, own.size)
                    if image.shape != first.shape:
                        raise UserError(
                            f"dataset: images in {folder} must have one size; got "
                            f"{_size(first)} in {names[0]} and {_size(image)} in {name}; give "
                            f"--resize {first.shape[0]}x{first.shape[1]}"
                        )
                    images[row] = image
                images.flush()
                del images
        except BaseException:
            for parent in target.parents[:2]:  # created above
                with contextlib.suppress(OSError):  # it holds other data
                    parent.rmdir()
            raise
    return np.load(target, mmap_mode="r")


def _channels(folder: pathlib.Path, names: Sequence[str]) -> int:
    """Return 1 if every image is gray, else 3."""
    from PIL import Image

    for name in names:
        with _opening(folder / name), Image.open(folder / name) as image:
            if image.mode not in ("1", "L", "LA", "I", "I;16"):
                return 3
    return 1


def _decode(path: pathlib.Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image, uint8 `(height, width, channels)`."""
    from PIL import Image

    with _opening(path), Image.open(path) as image:
        if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are kept
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        elif image.mode in ("RGBA", "LA"):  # without blending
            image = (
                Image.merge(image.mode[:-1], image.split()[:-1])
                if image.mode == "RGBA"
                else (image.split()[0])
            )
        image = image.convert("L" if channels == 1 else "RGB")
        if size is not None and image.size != size[::-1]:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        found = np.asarray(image)
    return found.reshape(*found.shape[:2], channels)


class _opening:
    """Raise an unreadable image as a `UserError` that names the file."""

    def __init__(self, path: pathlib.Path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (OSError, ValueError, SyntaxError)) and not isinstance(
            error, UserError
        ):
            raise UserError(
                f"dataset: {self._path} is no readable image ({first_line(error)}); remove or "
                "replace it"
            ) from error
        return False


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _clients(files: np.ndarray, own: ImageFolderSettings) -> np.ndarray | None:
    """Return the natural client of each file, if a pattern names it."""
    if own.client_pattern is None:
        return None
    found = []
    for name in files:
        match = re.search(own.client_pattern, name)
        if match is None or match[1] is None:
            raise UserError(
                f"client_pattern: must match the path of every image; got {name}, which "
                f"{own.client_pattern!r} does not match"
            )
        found.append(match[1])
    return np.array(found)
