"""What is left of a run that was stopped at any moment: its newest good checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, write_bytes
from tfunlearn.experiment.run_directory import RunDirectory, metrics_line, read_checkpoint
from tfunlearn.federated.state import ServerState


@dataclass(frozen=True)
class Left:
    """What is good of a run that was stopped.

    Attributes:
        state: after the newest round whose checkpoint and metrics line are whole; None if the run
            is to begin at its start.
        lines: of the metrics, up to that round.
        damaged: what was found torn or does not fit, in words.
    """

    state: ServerState | None
    lines: list[dict]
    damaged: list[str]


def newest_good(directory: RunDirectory) -> Left:
    """Returns what a run can go on from; whoever calls holds its lock. Nothing is written.

    Raises:
        UserError: rounds are finished, but neither checkpoint is good.
    """
    lines, damaged = _whole_lines(directory)
    for path in (directory.checkpoint, directory.previous):
        if not path.exists():
            continue
        try:
            state = read_checkpoint(path)
        except UserError as error:
            damaged.append(str(error).removeprefix("run: ").partition(";")[0])
            continue
        if state.finished > len(lines):  # it is written before its line
            continue
        if state.finished and lines[state.finished - 1]["checkpoint_sha256"] != checksum(path):
            damaged.append(f"{path} is not the file that metrics.jsonl names for round "
                           f"{state.finished}")
            continue
        return Left(state, lines[: state.finished], damaged)
    if lines:
        raise UserError(f"run: {directory.path} has {len(lines)} finished rounds but no good "
                        f"checkpoint ({'; '.join(damaged) or 'both are missing'}); tfunlearn train "
                        f"--config {directory.config} begins anew")
    return Left(None, [], damaged)


def rewind(directory: RunDirectory, left: Left) -> None:
    """Cuts the metrics back to what is good, if there is more."""
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
