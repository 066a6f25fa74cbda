"""Data from files: checksums, and the JSON from which a run makes the same features again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum


def checksums(paths: Iterable[str | os.PathLike]) -> dict[str, str]:
    """Return the SHA-256 of files by absolute path."""
    return {os.path.abspath(path): checksum(path) for path in paths}


def require_same_files(stored: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Check that the files of a data set are those of a run.

    Raises:
        UserError: a file is missing, was added, or has changed.
    """
    for path in sorted({*stored, *found}):
        if stored.get(path) == found.get(path):
            continue
        what = (
            "is missing" if path not in found else "is new" if path not in stored else "has changed"
        )
        raise UserError(
            f"dataset: {path} {what} since the run began; put back the files that the run was "
            "trained on, since its examples are counted in them"
        )


def require_file(path: str | os.PathLike, field: str = "dataset") -> str:
    """Return the absolute path of a file.

    Raises:
        UserError: there is no such file.
    """
    if not os.path.isfile(path):
        raise UserError(f"{field}: must be a file; got {str(path)!r}, which does not exist")
    return os.path.abspath(path)
