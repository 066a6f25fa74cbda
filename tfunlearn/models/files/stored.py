"""Contents of a model file: configuration, Keras version that wrote it, and weights as arrays."""

from __future__ import annotations

import importlib
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.lazy import tf

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # names in Keras 3 and in Keras 2
SEEDS = "seed_generator"  # a layer's random state, which is no weight
LARGEST = 2**28  # maximum size of a configuration in bytes


@dataclass(frozen=True)
class Group:
    """Weights of one layer in a `.keras` file.

    Attributes:
        arrays: the layer's own weights, in the order of the file.
        parts: name -> weights of a sublayer (such as a cell or the container of a nested model).
    """

    arrays: tuple[np.ndarray, ...] = ()
    parts: dict[str, Group] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether neither the group nor any of its parts has an array."""
        return not self.arrays and all(part.is_empty for part in self.parts.values())


@dataclass(frozen=True)
class StoredModel:
    """Contents of a model file.

    Attributes:
        path: the file, or the folder of a SavedModel.
        config: class name and configuration of the model, JSON values.
        version: version of the Keras that wrote the file; empty if unknown.
        metadata: all other configurations in the file (SavedModel only), JSON values.
    """

    path: pathlib.Path
    config: dict
    version: str = ""
    metadata: tuple[dict, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Major and minor version, such as (2, 14); (2, 0) if unknown."""
        found = re.findall(r"\d+", self.version)[:2]
        return tuple(map(int, found)) if len(found) == 2 else (2, 0)

    @property
    def writer(self) -> str:
        """Name and version of the Keras that wrote the file, for messages."""
        if not self.version:
            return "an old Keras"
        is_tf_keras = self.numbers[0] == 2 and self.numbers >= (2, 16)
        return f"{'tf_keras' if is_tf_keras else 'Keras'} {self.version}"

    def weight_group(self) -> Group:
        """Return the weights of a `.keras` file."""
        import h5py

        with zipfile.ZipFile(self.path) as archive:
            content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content)) as file:
            return _group_of(file)

    def layer_weights(self) -> dict[str, list[tuple[str, np.ndarray]]]:
        """Return the weights of an `.h5` file by layer name.

        Each layer has a list of pairs (last part of a weight's name, array), in file order.
        """
        import h5py

        with h5py.File(self.path) as file:
            whole = cast(Any, file)  # of groups, not of data sets
            groups = whole["model_weights"] if "model_weights" in whole else whole  # noqa: SIM401
            names = {
                **dict.fromkeys(_texts(groups.attrs, "layer_names")),
                **(
                    {"top_level_model_weights": None} if "top_level_model_weights" in groups else {}
                ),
            }
            return {
                name: [
                    (weight.rpartition("/")[2].partition(":")[0], np.asarray(groups[name][weight]))
                    for weight in _texts(groups[name].attrs, "weight_names")
                ]
                for name in names
            }


def read_stored(path: pathlib.Path) -> StoredModel:
    """Read the configuration of a model file without running any code of it.

    Args:
        path: a `.keras` or `.h5` file, or the folder of a SavedModel written by Keras.

    Raises:
        UserError: the path does not exist or is no such file or folder.
    """
    if path.is_dir():
        return _saved_model(path)
    if not path.is_file():
        raise UserError(f"model: no file {path}")
    reader = {".keras": _keras_archive, ".h5": _hdf5}.get(path.suffix)
    if reader is None:
        raise UserError(f"model: must be a .keras or .h5 file or a SavedModel folder; got {path}")
    try:
        return reader(path)
    except UserError:
        raise
    except Exception as error:  # zip, JSON and HDF5 raise errors of different types
        raise _unreadable(path, first_line(error))


def stored_arrays(path: pathlib.Path) -> list[np.ndarray]:
    """Return the weights of all layers in a `.keras` file, in the order of the file.

    Raises:
        UserError: the file is missing or unreadable.
    """
    try:
        parts = read_stored(path).weight_group().parts
    except UserError:
        raise
    except Exception as error:  # zip and HDF5 raise errors of different types
        raise _unreadable(path, first_line(error))
    waiting = [parts[name] for name in CONTAINERS if name in parts]
    arrays = []
    while waiting:
        group = waiting.pop()
        arrays += group.arrays
        waiting += [part for name, part in group.parts.items() if name != SEEDS]
    return arrays


def _keras_archive(path: pathlib.Path) -> StoredModel:
    if not zipfile.is_zipfile(path):
        raise _unreadable(path, "no zip archive")
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > LARGEST:
            raise _unreadable(path, "its configuration is too large")
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json"))
    return StoredModel(path, _check(path, config), str(metadata.get("keras_version", "")))


def _hdf5(path: pathlib.Path) -> StoredModel:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise _unreadable(path, "it holds weights without a model; save the whole model")
        text = cast(str | bytes, file.attrs["model_config"])
        version = file.attrs.get("keras_version", "")
    return StoredModel(path, _check(path, json.loads(text)), _text(version))


def _saved_model(path: pathlib.Path) -> StoredModel:
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"model: folder {path} holds no SavedModel")
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        raise UserError(
            "model: must be a .keras file, a .h5 file or a folder that model.save wrote; "
            f"{path} is a SavedModel that Keras did not write"
        )
    try:
        entries = [
            json.loads(text, object_hook=_plain) for text in _metadata_texts(metadata.read_bytes())
        ]
        root = next(
            entry
            for entry in entries
            if (isinstance(entry, dict) and "config" in entry and entry.get("is_graph_network"))
            or entry.get("class_name") == "Sequential"
        )
    except StopIteration:
        raise UserError(
            f"model: must be a built Sequential or functional model; {path} has no layer graph "
            "(not built, or a subclass)"
        )
    except (ValueError, IndexError) as error:
        raise _unreadable(path, first_line(error))
    config = {"class_name": root["class_name"], "config": root["config"]}
    return StoredModel(
        path, _check(path, config), str(root.get("keras_version", "2.")), tuple(entries)
    )


def _plain(value: dict):
    """Return a value of a SavedModel's JSON with markers of tuples and shapes removed."""
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return value["items"]
    return value


def _metadata_texts(content: bytes) -> Iterator[str]:
    """Yield the JSON text of each node of a SavedModel's Keras metadata.

    The protobuf message has its nodes in repeated field 1; field 5 of a node is its text.
    """
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            for inner, text in _fields(value):
                if inner == 5 and isinstance(text, bytes):
                    yield text.decode("utf-8")


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(content):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length = varint()
        if length is None or place + length > len(content):
            raise ValueError("its metadata are damaged")
        yield key >> 3, content[place : place + length]
        place += length


def _check(path: pathlib.Path, config) -> dict:
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise _unreadable(path, "its configuration names no class")
    return config


def _unreadable(path: pathlib.Path, reason: str) -> UserError:
    return UserError(f"model: {path} is not a Keras model that can be read ({reason})")


def _group_of(group) -> Group:
    import h5py

    own = group.get("vars")
    arrays = [] if own is None else [np.asarray(own[key]) for key in sorted(own, key=int)]
    parts = {
        name: _group_of(part)
        for name, part in group.items()
        if name != "vars" and isinstance(part, h5py.Group)
    }
    return Group(tuple(arrays), parts)


def _texts(attributes, name: str) -> list[str]:
    """Return a list of strings; HDF5 splits long lists into name0, name1, ..."""
    if name in attributes:
        return [_text(value) for value in attributes[name]]
    parts, found = 0, []
    while f"{name}{parts}" in attributes:
        found += [_text(value) for value in attributes[f"{name}{parts}"]]
        parts += 1
    return found


def _text(value) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def keras_numbers() -> tuple[int, ...]:
    """Return major and minor version of the Keras in use, such as (2, 14)."""
    package = importlib.import_module(tf.keras.Model.__module__.partition(".")[0])
    return tuple(map(int, re.findall(r"\d+", package.__version__)[:2]))


def keras_name() -> str:
    """Return name and version of the Keras in use, for messages."""
    numbers = keras_numbers()
    is_tf_keras = numbers[0] == 2 and numbers >= (2, 16)
    return f"{'tf_keras' if is_tf_keras else 'Keras'} {'.'.join(map(str, numbers))}"
