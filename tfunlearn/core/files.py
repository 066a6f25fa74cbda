"""Files that are whole or not there: atomic writes, checksums, arrays without pickle."""

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

import numpy as np

from tfunlearn.core.errors import UserError, require


def user_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns a path as the user means it: `~` and `~name` are home folders.

    Every path that comes from outside passes here: flags, configuration files, Python arguments.

    Raises:
        UserError: `~name` of nobody who has a home folder.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"path: {str(path)!r} is not allowed; no home folder is known for it, "
                        "write the whole path")


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path`, and moves it there when the block ends well.

    The temporary name keeps the suffix, which some writers go by.
    """
    path = user_path(path)
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


@contextlib.contextmanager
def creating(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path`, and moves it there unless something has come there.

    Raises:
        FileExistsError: `path` exists by the time the block ends; it stays as it is.
    """
    path = user_path(path)
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        try:
            os.link(temporary, path)  # unlike a rename, it never replaces
        except OSError:  # it is there, or a file system without links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            os.replace(temporary, path)


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path`, and removes whatever is left there.

    What a killed process leaves goes with the next lock on its folder, see `locked`.
    """
    temporary = path.with_name(f".{path.stem[:100]}.{os.getpid()}{path.suffix}")
    with naming(path):
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Has errors of the file system name the file within; a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _sync(path: pathlib.Path) -> None:
    """Sends a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def keep_as(path: str | os.PathLike, other: str | os.PathLike) -> None:
    """Gives a file a second name, in place of whatever had that name; neither is ever missing."""
    other = pathlib.Path(other)
    with _beside(other) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(path, temporary)
            _sync(temporary)
        os.replace(temporary, other)
        _sync(other.parent)


@contextlib.contextmanager
def locked(path: str | os.PathLike, busy: str) -> Iterator[None]:
    """Holds the lock of a file, which is made, as long as the block runs; it ends with the process.

    Temporary files of processes that were killed while they wrote are removed from its folder.

    Args:
        path: the file; it stays.
        busy: what to say if somebody else holds it.

    Raises:
        UserError: somebody else holds it.
    """
    try:
        lock = open(path, "ab")
    except FileNotFoundError:  # its folder has got another name meanwhile
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
    """Removes temporary files, see `_beside`, of processes that are no more, at any depth."""
    for path in folder.rglob(".*"):
        found = re.fullmatch(r"\..+\.(\d+)(\.\w+)?", path.name)
        if found and not path.is_dir() and not _is_alive(int(found[1])):
            with contextlib.suppress(OSError):  # not ours to remove
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return True
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True


def new_file(field: str, name: str | os.PathLike, suffixes: Sequence[str]) -> pathlib.Path:
    """Returns the path of a file that is to be made.

    Raises:
        UserError: it has another suffix, lies in no folder, or is there already.
    """
    path = user_path(name)
    require(field, str(name), path.suffix in suffixes,
            f"a file name that ends in {' or '.join(suffixes)}")
    require(field, str(name), path.parent.is_dir(), "a file in a folder that exists")
    require(field, str(name), not os.path.lexists(path), "a new file; this one exists")
    return path


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | os.PathLike, content) -> None:
    """Writes JSON atomically, indented."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def create_json(path: str | os.PathLike, content) -> None:
    """Writes JSON, indented, into a new file as a whole.

    Raises:
        FileExistsError: `path` exists; it stays as it is.
    """
    with creating(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(
    path: str | os.PathLike, head: Iterable[str], lines: Iterable[Iterable]
) -> None:
    """Writes a new CSV file as a whole.

    Raises:
        FileExistsError: `path` exists; it stays as it is.
    """
    with creating(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> str:
    """Writes a `.npz` atomically and returns its SHA-256."""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
        return checksum(temporary)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a `.npz` without pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def checksum(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Mapping) -> str:
    """Returns the SHA-256 of JSON values, but for an entry `sha256`, hexadecimal."""
    text = json.dumps({k: v for k, v in content.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def first_free(
    path: pathlib.Path, taken: Callable[[pathlib.Path], bool], *, folder: bool = False
) -> pathlib.Path:
    """Returns `path`, or the first of `path-2`, `path-3`, ... that is not taken.

    The number stands before the suffix, unless `path` is a folder, whose name has none.
    """
    stem, suffix = (path.name, "") if folder else (path.stem, path.suffix)
    number, candidate = 1, path
    while taken(candidate):
        number += 1
        candidate = path.with_name(f"{stem}-{number}{suffix}")
    return candidate
