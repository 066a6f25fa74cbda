"""Verification records on disk: one JSON file with a checksum, in the run directory."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import warnings

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import digest_of, first_free, write_json
from tfunlearn.core.verification_record import RocRecord, VerificationRecord
from tfunlearn.report.proof import save_inversions, save_relearning, save_roc
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.verification import MembershipRoc

FILE, MOST_POINTS = "verification.json", 400


def roc_record(roc: MembershipRoc) -> RocRecord:
    """Return the record of a ROC, its curve subsampled to at most 400 points."""
    places = np.arange(len(roc.fpr))
    if len(places) > MOST_POINTS:  # denser at low false-positive rates
        spread = np.unique(
            np.concatenate(
                [
                    np.geomspace(1, len(places), MOST_POINTS // 2).astype(int) - 1,
                    np.linspace(0, len(places) - 1, MOST_POINTS // 2).astype(int),
                ]
            )
        )
        places = spread
    return RocRecord(
        auc=roc.auc,
        balanced_accuracy=roc.balanced_accuracy,
        tpr_at={f"{level:g}": value for level, value in roc.tpr_at.items()},
        resolved={f"{level:g}": roc.resolves(level) for level in roc.tpr_at},
        members=roc.members,
        others=roc.others,
        resolution=roc.resolution,
        fpr=[round(float(v), 6) for v in roc.fpr[places]],
        tpr=[round(float(v), 6) for v in roc.tpr[places]],
    )


def write_record(directory: RunDirectory, record: VerificationRecord) -> pathlib.Path:
    """Write a record and its figures into a new folder of the run, and return the folder.

    The folder is `verification`, with a number appended if it exists. The caller must hold the
    run's lock.
    """
    content = record.as_json()
    begun = directory.path / ".verification"
    shutil.rmtree(begun, ignore_errors=True)  # left by a killed process
    begun.mkdir()
    try:
        save_roc(begun / "roc.png", record.curves)
        if record.relearning:
            save_relearning(begun / "relearning.png", record.relearning)
        if record.inversion:
            save_inversions(begun / "inversion.png", record.inversion)
        write_json(begun / FILE, {**content, "sha256": digest_of(content)})
        folder = first_free(directory.path / "verification", os.path.lexists, folder=True)
        os.rename(begun, folder)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    return folder


def records(directory: RunDirectory) -> list[tuple[pathlib.Path, VerificationRecord]]:
    """Return folder and record of every verification of a run, oldest first.

    Records of builds whose fields are unknown here are left out, with a warning.

    Raises:
        UserError: a damaged record.
    """
    found = []
    for path in directory.path.glob(f"verification*/{FILE}"):
        match = re.fullmatch(r"verification(?:-(\d+))?", path.parent.name)
        if match:
            found.append((int(match[1] or 1), path))
    records = [(path.parent, _read(path)) for _, path in sorted(found)]
    return [(folder, record) for folder, record in records if record is not None]


def _read(path: pathlib.Path) -> VerificationRecord | None:
    try:
        content = json.loads(path.read_text())
        if content.pop("sha256") != digest_of(content):
            raise ValueError("its checksum differs")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"run: {path} is damaged ({first_line(error)})")
    try:
        return VerificationRecord.of(content)
    except (KeyError, TypeError, AttributeError) as error:
        warnings.warn(
            f"{path} is left out, as another build wrote it ({first_line(error)})", stacklevel=2
        )
        return None
