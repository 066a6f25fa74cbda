"""Consistency check of a stored run and its data."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import read_arrays
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.federation import Federation


def check_partition(directory: RunDirectory, federation: Federation) -> None:
    """Raise a `UserError` unless the data are partitioned as when the run was trained."""
    split_rows = federation.data.rows
    assert split_rows is not None
    try:
        stored = read_arrays(directory.partition)
        rows = np.concatenate([split_rows[part] for part in federation.parts])
        same = (
            np.array_equal(stored["rows"], rows)
            and np.array_equal(stored["offsets"], federation.clients.offsets)
            and np.array_equal(stored["malicious"], federation.malicious)
        )
    except FileNotFoundError:
        raise UserError(f"run: {directory.partition} is missing")
    except Exception as error:  # numpy and zipfile raise many types of errors
        raise UserError(f"run: {directory.partition} cannot be read ({first_line(error)})")
    if not same:
        raise UserError(
            f"run: {directory.partition} does not match the partition that its config.json gives "
            "now; the data set, the file or this program has changed"
        )
