"""What is left of a run that was stopped at any moment: its newest good checkpoint."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, keep_as, write_bytes
from tfunlearn.federated.state import ServerState
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.runs.run_files import metrics_line, read_checkpoint


@dataclass(frozen=True)
class RecoveryPoint:
    """What is good of a run that was stopped.

    Attributes:
        state: after the newest round whose checkpoint and metrics line are whole; None if the run
            is to begin at its start.
        lines: of the metrics, up to that round.
        damaged: what was found torn or does not fit, in words.
        path: the file that holds the state, None without one.
    """

    state: ServerState | None
    lines: list[dict]
    damaged: list[str]
    path: pathlib.Path | None = None


def last_valid_checkpoint(directory: RunDirectory) -> RecoveryPoint:
    """Returns what a run can go on from; whoever calls holds its lock. Nothing is written.

    Raises:
        UserError: rounds are finished, but neither checkpoint is good.
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
        if state.finished > len(lines):  # it is written before its line
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
            f"{directory.config} begins anew"
        )
    return RecoveryPoint(None, [], damaged)


def rewind(directory: RunDirectory, left: RecoveryPoint) -> None:
    """Makes what is good the newest there is: no later line of metrics, no other checkpoint that
    the next round would take for the one before."""
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
    """Returns the metrics lines before the first one that is damaged, and what is."""
    if not directory.metrics.exists():
        return [], []
    content, found = directory.metrics.read_bytes(), []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        values = metrics_line(line, number) if line.endswith(b"\n") else None
        if values is None:
            return found, [f"line {number} of {directory.metrics} is torn"]
        found.append(values)
    return found, []
