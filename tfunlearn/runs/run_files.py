"""Reading of single files of a run: checkpoints and metrics lines."""

from __future__ import annotations

import json
import pathlib

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import read_arrays
from tfunlearn.local_training.state import ServerState


def read_checkpoint(path: pathlib.Path) -> ServerState:
    """Read a checkpoint.

    Raises:
        UserError: it is missing or unreadable.
    """
    try:
        arrays = read_arrays(path)
        finished, reference = int(arrays.pop("finished")), arrays.pop("reference", None)
        return ServerState([arrays[name] for name in sorted(arrays)], finished, reference)
    except FileNotFoundError:
        raise UserError(
            f"run: there is no checkpoint {path}; tfunlearn resume {path.parent} "
            "continues from the files that exist"
        )
    except Exception as error:  # numpy and zipfile raise many types of errors
        raise UserError(
            f"run: {path} cannot be read ({first_line(error)}); tfunlearn resume "
            f"{path.parent} continues from the newest valid one"
        )


def metrics_line(text: bytes, number: int) -> dict | None:
    """Return the values of the metrics line of round `number`; None if the line is not valid."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    whole = (
        isinstance(values, dict)
        and type(values.get("round")) is int
        and values["round"] == number
        and "checkpoint_sha256" in values
    )
    if whole and "history_sha256" in values:
        whole = (
            isinstance(values["history_sha256"], str) and type(values.get("history_bytes")) is int
        )
    return values if whole else None
