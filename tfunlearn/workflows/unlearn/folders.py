"""Folder of an unlearned run: its key, its name, and its atomic creation."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.config.fingerprint import content_of
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.families import short_name
from tfunlearn.core.files import checksum, first_free, locked, user_path
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record

_PROCESS = uuid.uuid4().hex  # in keys of methods that exist in this process only
_AT_ONCE = 4096  # rows
LEFT = "left.json"  # state of an interrupted unlearning in addition to its checkpoint


def keys_of(task: UnlearningTask) -> dict[str, str]:
    """Return the hashes of everything that determines the new run and its weights.

    Returns:
        `key`, of the whole request, and `weights_key`, which is equal for all retrainings that
            yield the same weights, whichever run they started from.
    """
    source, settings = task.source, task.settings
    held = source.federation.poisoned
    weights = dict(
        config=content_of(source.federation.config),
        seed=task.seed,
        settings=settings.recorded(),
        data=_digest(held.features, held.labels, held.offsets),
        rounds=source.training_rounds,
        gone=_digest(source.forget_mask | task.forgotten),
    )
    asked: dict[str, Any] = dict(
        source=checksum(source.directory.checkpoint),
        before=_digest(source.forget_mask),
        requests=source.requests,
        rounds_before=source.rounds,
        last=source.last_unlearning,
    )
    if task.detections:  # whose findings a request names is on record
        asked["detections"] = [
            [one.found.detector, list(one.found.flagged)] for one in task.detections
        ]
    origin = settings.origin
    if origin is not None:  # a user's own method
        weights["method_sha256"] = (
            _PROCESS if origin.name.startswith("object:") else str(origin.sha256)
        )
    if not task.method.from_scratch:
        weights |= asked
    return {"key": _hash(weights | asked), "weights_key": _hash(weights)}


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        for first in range(0, len(array), _AT_ONCE):  # it may be larger than memory
            digest.update(np.ascontiguousarray(array[first : first + _AT_ONCE]).data)
    return digest.hexdigest()


def _hash(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def target_of(task: UnlearningTask, out: str | os.PathLike | None) -> pathlib.Path:
    """Return the path of the new run.

    Raises:
        UserError: `out` is not empty, cannot be written, or lies within the run.
    """
    run = task.source.directory.path
    if out is None:
        run = run if run.name else run.resolve()
        return run.parent / f"{run.name}-{short_name(task.settings.method)}"
    require("out", out, str(out) != "", "the name of a folder")
    target = user_path(out)
    target = target if target.name and ".." not in target.parts else target.resolve()
    try:
        empty = target.is_dir() and not any(target.iterdir())
        require("out", str(out), empty or not os.path.lexists(target), "a new or empty folder")
        within = [run.resolve(), pathlib.Path.cwd()] if empty else [run.resolve()]
        require(
            "out",
            str(out),
            run.resolve() not in target.resolve().parents and target.resolve() not in within,
            "a folder outside the run, and not the working directory",
        )
    except OSError as error:
        raise UserError(f"out: {str(target)[:100]} cannot be written ({error.strerror})")
    return target


def finished_run(folder: pathlib.Path, name: str, key: str) -> RunDirectory | None:
    """Return the finished run in `folder` whose record has that `key` under `name`, or None."""
    for path in sorted(folder.glob("*/unlearning.json")):
        if not path.parent.name.startswith(".") and is_finished(path.parent, name, key):
            return RunDirectory(path.parent)
    return None


def is_finished(folder: pathlib.Path, name: str, key: str) -> bool:
    """Return whether `folder` is a finished run whose record has that `key` under `name`."""
    directory = RunDirectory(folder)
    try:
        if getattr(unlearning_record(directory), name) != key:
            return False
        directory.read_state()
        return directory.model.is_file()
    except (UserError, OSError, KeyError, TypeError):  # damaged, another program's, or no record
        return False


@dataclass
class Folder:
    """A folder that is being filled, and its final path."""

    path: pathlib.Path
    target: pathlib.Path


def begun_name(task: UnlearningTask, target: pathlib.Path) -> pathlib.Path:
    """Return the path of the hidden folder next to `target` that this request always fills."""
    identity = _hash({"key": keys_of(task)["key"], "keeps": task.keeps})[:12]
    return target.with_name(f".{target.name[:100]}.{identity}")


@contextlib.contextmanager
def fill_folder(path: pathlib.Path, target: pathlib.Path, *, numbered: bool) -> Iterator[Folder]:
    """Yield the hidden folder `path`, which is renamed to `target` if the block succeeds.

    If the block fails after a finished round, the folder stays, and the next block resumes from it;
    otherwise nothing is left behind.

    Args:
        path: see `begun_name`; other processes are locked out of it.
        target: the final path.
        numbered: whether to use `target-2` and so on if the path is taken.

    Raises:
        UserError: the folder cannot be written, the path was taken meanwhile, or another process
            fills it.
    """
    made = [f for f in target.parents if not f.exists()]
    folder = Folder(path, target)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out: {target} cannot be written ({error.strerror})")
    lock = RunDirectory(path).lock
    with locked(lock, f"out: another process is making {target}; wait for it"):
        try:
            yield folder
            for name in (LEFT, lock.name):
                (path / name).unlink(missing_ok=True)
            folder.target = _move(path, target, numbered)
        except BaseException:
            if not RunDirectory(path).metrics.exists():
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):  # another process may use a parent by now
                    for parent in made:
                        parent.rmdir()
            raise


def _move(path: pathlib.Path, target: pathlib.Path, numbered: bool) -> pathlib.Path:
    """Rename a folder to `target`, or to its first free number; return the new path."""
    while True:
        name = first_free(target, os.path.lexists, folder=True) if numbered else target
        try:
            os.rename(path, name)
            return name
        except OSError as error:
            if not (numbered and os.path.lexists(name)):  # else another process was faster
                raise UserError(f"out: {target} cannot be written ({error.strerror})")
