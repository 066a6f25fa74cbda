"""The request of an unlearning, stored next to it so that it can be repeated."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.families import require_origin
from tfunlearn.core.files import user_path, write_json
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.run_directory import RunDirectory

FIELDS = {"run": str, "data_dir": str, "settings": dict, "keeps": bool, "name": str}


def write_request(
    task: UnlearningTask, directory: RunDirectory, out: str | os.PathLike | None, name: str
) -> None:
    """Write the request.

    Args:
        task: the task.
        directory: the folder in which the new run is built.
        out: final path of the new run; None for a path next to the source run.
        name: name of the key by which a finished run is recognized.
    """
    write_json(
        directory.request,
        dict(
            run=os.path.abspath(task.source.directory.path),
            data_dir=os.path.abspath(task.source.federation.config.data.data_dir),
            settings=task.settings.flat(),
            keeps=task.keeps,
            name=name,
            **origin_note(task),
            **_detections(task),
            out=None if out is None else os.path.abspath(user_path(out)),
        ),
    )


def _detections(task: UnlearningTask) -> dict:
    found = [dataclasses.asdict(one) for one in task.detections]
    return {"detections": found} if found else {}


def origin_note(task: UnlearningTask) -> dict:
    """Return the method's origin as JSON values, empty for a built-in method."""
    origin = task.settings.origin
    return {} if origin is None else {"method_origin": dataclasses.asdict(origin)}


def read_request(run: str | os.PathLike) -> dict:
    """Return the request of an unlearning, finished or not.

    Args:
        run: its folder, or the path that the finished run was to have.

    Raises:
        UserError: there is none, there are several unfinished ones, or the request is damaged.
    """
    path = RunDirectory(_folder(user_path(run))).request
    try:
        request = json.loads(path.read_text())
        if not all(isinstance(request[name], kind) for name, kind in FIELDS.items()):
            raise ValueError("a field is of another type")
        if "method_origin" in request:
            require_origin(
                "method", request["method_origin"], UNLEARNING, RunDirectory(path.parent).methods
            )
        return {"out": None, **request}
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"run: {path} is damaged ({first_line(error)})")


def is_requested(run: str | os.PathLike) -> bool:
    """Return whether an unlearning of that path was begun."""
    path = user_path(run)
    return bool(_begun(path)) or RunDirectory(path).request.exists()


def _folder(run: pathlib.Path) -> pathlib.Path:
    if RunDirectory(run).request.exists():
        return run
    found = _begun(run)
    if not found:
        raise UserError(f"run: no unlearning was begun at '{run}'")
    if len(found) > 1:
        raise UserError(
            f"run: several unlearnings were begun at '{run}': "
            f"{', '.join(str(path) for path in found)}; name one of them"
        )
    return found[0]


def _begun(run: pathlib.Path) -> list[pathlib.Path]:
    """Return the hidden folders of unlearnings that were begun for the path `run`."""
    stem = f".{run.name[:100]}."
    try:
        return sorted(
            path
            for path in run.parent.iterdir()
            if path.name.startswith(stem)
            and len(path.name) == len(stem) + 12
            and RunDirectory(path).request.exists()
        )
    except OSError:
        return []
