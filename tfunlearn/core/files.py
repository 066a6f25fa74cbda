"""Atomic file writes, file locks, checksums, and array files without pickle."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, require


def user_path(path: str | os.PathLike) -> pathlib.Path:
    """Return a user-supplied path with `~` and `~name` expanded to home folders.

    Every path from outside is passed through this function: flags, configuration files, Python
    arguments.

    Raises:
        UserError: no home folder is known for `~name`.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            "path: must be an absolute path, since no home folder is known for it; "
            f"got {str(path)!r}"
        )


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path next to `path` and move it to `path` when the block succeeds.

    The temporary name keeps the suffix because some writers choose their format by it.
    """
    path = user_path(path)
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


@contextlib.contextmanager
def creating(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path next to `path` and move it to `path` unless that exists by then.

    Raises:
        FileExistsError: `path` exists when the block ends; it is left unchanged.
    """
    path = user_path(path)
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        try:
            os.link(temporary, path)  # unlike a rename, it never replaces
        except OSError:  # `path` exists, or the file system has no hard links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            os.replace(temporary, path)


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path next to `path` and delete it when the block ends.

    Temporary files of killed processes are removed with the next lock on their folder, see
    `locked`.
    """
    temporary = path.with_name(f".{path.stem[:100]}.tmp{os.getpid()}{path.suffix}")
    with naming(path):
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Add the path to errors of the file system in the block; a full disk reports no path itself.

    An OSError without a number is another library's: with a path, it would lose its message.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise


def _sync(path: pathlib.Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def keep_as(path: str | os.PathLike, other: str | os.PathLike) -> None:
    """Link a file under a second name, atomically replacing any file of that name."""
    other = pathlib.Path(other)
    with _beside(other) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # the file system has no hard links
            shutil.copyfile(path, temporary)
            _sync(temporary)
        os.replace(temporary, other)
        _sync(other.parent)


@contextlib.contextmanager
def locked(path: str | os.PathLike, busy: str) -> Iterator[None]:
    """Hold an exclusive lock on a file inside the block; it is released when the process exits.

    The file is created if it is missing. Temporary files of processes killed during a write are
    removed from its folder.

    Args:
        path: the lock file; it is not deleted.
        busy: the error message if the lock is held elsewhere.

    Raises:
        UserError: the lock is held elsewhere, or the file's folder was renamed or removed.
    """
    try:
        lock = open(path, "ab")  # noqa: SIM115
    except FileNotFoundError:  # its folder was renamed in the meantime
        raise UserError(busy)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise UserError(busy)
        _remove_leftovers(pathlib.Path(path).parent)
        yield


def _remove_leftovers(folder: pathlib.Path) -> None:
    """Remove temporary files (see `_beside`) of dead processes, at any depth."""
    for path in folder.rglob(".*"):
        found = re.fullmatch(r"\..+\.tmp(\d+)(\.\w+)?", path.name)
        if found and not path.is_dir() and not _is_alive(int(found[1])):
            with contextlib.suppress(OSError):  # e.g. no permission to delete it
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return True
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True


def new_file(field: str, name: str | os.PathLike, suffixes: Sequence[str]) -> pathlib.Path:
    """Return the path of a file to be created.

    Raises:
        UserError: the suffix is not in `suffixes`, the folder does not exist, or the file exists.
    """
    path = user_path(name)
    require(
        field,
        str(name),
        path.suffix in suffixes,
        f"a file name that ends in {' or '.join(suffixes)}",
    )
    require(field, str(name), path.parent.is_dir(), "a file in a folder that exists")
    require(field, str(name), not os.path.lexists(path), "a new file; this one exists")
    return path


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | os.PathLike, content) -> None:
    """Write indented JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def create_json(path: str | os.PathLike, content) -> None:
    """Write indented JSON atomically to a new file.

    Raises:
        FileExistsError: `path` exists; it is left unchanged.
    """
    with creating(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(path: str | os.PathLike, head: Iterable[str], lines: Iterable[Iterable]) -> None:
    """Write a new CSV file atomically.

    Raises:
        FileExistsError: `path` exists; it is left unchanged.
    """
    with creating(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, Any]) -> str:
    """Write a `.npz` file atomically and return its SHA-256."""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
        return checksum(temporary)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a `.npz` file without pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def checksum(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Mapping) -> str:
    """Return the SHA-256 of JSON values without their entry `sha256`, hexadecimal."""
    text = json.dumps({k: v for k, v in content.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def first_free(
    path: pathlib.Path, taken: Callable[[pathlib.Path], bool], *, folder: bool = False
) -> pathlib.Path:
    """Return `path`, or the first of `path-2`, `path-3`, ... that is not taken.

    The number precedes the suffix; a folder (`folder=True`) has no suffix.
    """
    stem, suffix = (path.name, "") if folder else (path.stem, path.suffix)
    number, candidate = 1, path
    while taken(candidate):
        number += 1
        candidate = path.with_name(f"{stem}-{number}{suffix}")
    return candidate
