"""What an unlearning was asked, as it lies beside it: enough to ask the same again."""

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
    """Writes what is asked.

    Args:
        task: what is to be forgotten.
        directory: where it is done.
        out: where it is to lie in the end; None if beside the run.
        name: of the key that tells whether it lies there already.
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
            out=None if out is None else os.path.abspath(user_path(out)),
        ),
    )


def origin_note(task: UnlearningTask) -> dict:
    """Return where the method comes from as a note, nothing for a built-in one."""
    origin = task.settings.origin
    return {} if origin is None else {"method_origin": dataclasses.asdict(origin)}


def read_request(run: str | os.PathLike) -> dict:
    """Returns what was asked of an unlearning, finished or not.

    Args:
        run: its folder, or what that was to be called in the end.

    Raises:
        UserError: there is none, several unfinished ones, or a damaged one.
    """
    path = RunDirectory(_folder(user_path(run))).request
    try:
        request = json.loads(path.read_text())
        if not all(isinstance(request[name], kind) for name, kind in FIELDS.items()):
            raise ValueError("a field is of another type")
        if "method_origin" in request:
            require_origin("method", request["method_origin"], UNLEARNING)
        return {"out": None, **request}
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"run: {path} is damaged ({first_line(error)})")


def is_requested(run: str | os.PathLike) -> bool:
    """Tells whether an unlearning of that name was begun."""
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
    """Returns the hidden folders in which unlearnings that are to be called `run` were begun."""
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
