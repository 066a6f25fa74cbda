"""Recovery of interrupted runs: the last valid checkpoint."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, keep_as, write_bytes
from tfunlearn.local_training.state import ServerState
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.runs.run_files import metrics_line, read_checkpoint


@dataclass(frozen=True)
class RecoveryPoint:
    """The valid part of an interrupted run.

    Attributes:
        state: state after the last round whose checkpoint and metrics line are valid; None if the
            run must start from the beginning.
        lines: metrics lines up to that round.
        damaged: descriptions of damaged or inconsistent files.
        path: the file that holds the state; None without one.
    """

    state: ServerState | None
    lines: list[dict]
    damaged: list[str]
    path: pathlib.Path | None = None


def last_valid_checkpoint(directory: RunDirectory) -> RecoveryPoint:
    """Return the point from which a run can resume; the caller holds its lock.

    Nothing is written.

    Raises:
        UserError: rounds are finished, but neither checkpoint is valid.
    """
    lines, damaged = _whole_lines(directory)
    early, lost = [], False
    for path in (directory.checkpoint, directory.previous):
        if not path.exists():
            continue
        try:
            state = read_checkpoint(path)
        except UserError as error:
            damaged.append(str(error).removeprefix("run: ").partition(";")[0])
            continue
        if state.finished > len(lines):  # the checkpoint is written before its line
            early.append(f"{path.name} is of round {state.finished}")
            lost |= state.finished > len(lines) + 1
            continue
        if state.finished and lines[state.finished - 1]["checkpoint_sha256"] != checksum(path):
            damaged.append(
                f"{path} is not the file that metrics.jsonl names for round {state.finished}"
            )
            continue
        return RecoveryPoint(state, lines[: state.finished], damaged, path)
    if lines or lost:
        found = "; ".join([*damaged, *early]) or "both are missing"
        raise UserError(
            f"run: {directory.path} has {len(lines)} whole lines of metrics but no "
            f"good checkpoint of them ({found}); tfunlearn train --config "
            f"{directory.config} starts over"
        )
    return RecoveryPoint(None, [], damaged)


def rewind(directory: RunDirectory, left: RecoveryPoint) -> None:
    """Reset a run to a recovery point.

    Metrics lines of later rounds are removed, and the valid checkpoint becomes `checkpoint.npz`, so
    that the next round does not keep an invalid one as the previous checkpoint.
    """
    if left.path is None:
        for path in (directory.checkpoint, directory.previous):
            path.unlink(missing_ok=True)
    elif left.path != directory.checkpoint:
        keep_as(left.path, directory.checkpoint)
    content = directory.metrics.read_bytes() if directory.metrics.exists() else b""
    kept = b"".join(content.splitlines(keepends=True)[: len(left.lines)])
    if kept != content:
        write_bytes(directory.metrics, kept)


def _whole_lines(directory: RunDirectory) -> tuple[list[dict], list[str]]:
    """Return the metrics lines before the first damaged one, and a description of the damage."""
    if not directory.metrics.exists():
        return [], []
    content, found = directory.metrics.read_bytes(), []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        values = metrics_line(line, number) if line.endswith(b"\n") else None
        if values is None:
            return found, [f"line {number} of {directory.metrics} is torn"]
        found.append(values)
    return found, []
