"""Fingerprint of a run: the fields that determine its result, as JSON values to be hashed."""

from __future__ import annotations

import os
import pathlib

from tfunlearn.config.legacy import RUN_FIELDS
from tfunlearn.config.run_config import RunConfig
from tfunlearn.config.threats import DEFAULT_SOURCE, DEFAULT_TARGET
from tfunlearn.config.training import DataConfig
from tfunlearn.core.files import checksum, digest_of
from tfunlearn.defenses import DEFENSES
from tfunlearn.models.saved import is_model_file

# Fields that locate files, or say what computes; the result is the same but for last bits.
NO_CONTENT = ("data_dir", "engine", "clients_at_once", "threads_per_client")


LATER_FIELDS = {  # defaults of fields that earlier builds did not have
    "quantity_sigma": 1.0,
    "feature_skew": 1.0,
    "min_examples": 1,
    "redraws": 10,
}


def checksums_of_data(config: DataConfig) -> dict[str, str]:
    """Return the checksums of the files that a configuration of data names, by their use.

    Of a folder, it is that of the names and sizes of all files in it.
    """
    named = {
        "dataset": config.dataset,
        "partition": config.partition,
        "test_file": getattr(config.own[0], "test_file", None) if config.own else None,
    }
    return {
        use: checksum(path) if os.path.isfile(path) else _listing(path)
        for use, path in named.items()
        if path is not None and os.path.isabs(path) and os.path.exists(path)
    }


def _listing(folder: str) -> str:
    found = sorted(
        (str(path.relative_to(folder)), path.stat().st_size)
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    )
    return digest_of({"files": found})


def content_of(config: RunConfig) -> dict:
    """Return the fields that determine a run's result.

    A model file and methods of your own are included as checksums. All fields of earlier builds are
    included, so that the hash of an existing run does not change.
    """
    content = {k: v for k, v in {**RUN_FIELDS, **config.flat()}.items() if k not in NO_CONTENT}
    if content["training_seed"] is None:  # keeps the hashes from before this field existed
        del content["training_seed"]
    for name, value in (("source", DEFAULT_SOURCE), ("target", DEFAULT_TARGET)):
        if content[name] is None:  # so did earlier builds
            content[name] = value
    for name, value in LATER_FIELDS.items():
        if content.get(name) == value:
            del content[name]
    if content["precision"] == "float32":
        del content["precision"]
    for name, method in DEFENSES.items():
        same = all(content[field] == value for field, value in method.earlier.items())
        if method.earlier and (same or name not in content["defense"]):
            for field in method.earlier:
                del content[field]
    if is_model_file(content["model"]) and os.path.isfile(content["model"]):
        content["model"] = checksum(content["model"])
    origins = sorted(origin.sha256 or "" for _, origin in config.origins())
    return {**content, "origins": origins} if origins else content
