"""Rounds kept for unlearning: files whose checksums are in the run's metrics."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import checksum, read_arrays, write_arrays
from tfunlearn.core.history import HistoryPolicy, HistoryRound
from tfunlearn.core.vectors import from_vector, sizes_of, to_vector


class HistoryWriter:
    """Write `history/round_<number>.npz`, numbered from 1 within the run.

    Args:
        folder: folder of the files, created with the first round.
        policy: which rounds to keep.
        before: number of rounds of the federation before this run; default 0.
        finished: number of rounds of this run that are finished already; default 0.
    """

    def __init__(
        self, folder: pathlib.Path, policy: HistoryPolicy, before: int = 0, finished: int = 0
    ):
        self._folder, self._policy, self._before = folder, policy, before
        self._newest, self._note = finished or None, {}
        for path in folder.glob("round_*.npz") if folder.is_dir() else ():
            number = int(path.stem.rpartition("_")[2])
            if number > finished or (number < finished and not policy.stays(number)):
                path.unlink()  # left over by a killed process

    def keep(self, received: HistoryRound) -> None:
        """Write a round; earlier rounds stay until `settle`."""
        self._folder.mkdir(exist_ok=True)
        number = received.round_number - self._before
        path = _path(self._folder, number)
        arrays: dict[str, Any] = dict(
            round=np.int64(received.round_number),
            weights=to_vector(received.weights),
            updates=received.updates,
            ids=received.ids.astype(np.int64),
            examples=received.examples.astype(np.int64),
        )
        digest = write_arrays(path, arrays)
        self._note = {"history_sha256": digest, "history_bytes": os.path.getsize(path)}

    def note(self) -> dict:
        """Return checksum and size of the round just written, for its metrics line."""
        note, self._note = self._note, {}
        return note

    def settle(self, number: int) -> None:
        """Delete the round written before `number`, unless the policy keeps it.

        To be called once the metrics line of round `number` is written.
        """
        if self._newest is not None and not self._policy.stays(self._newest):
            _path(self._folder, self._newest).unlink(missing_ok=True)
        self._newest = number


@dataclass(frozen=True)
class _Kept:
    """A round on disk: its file, and checksum and size of the file as in the metrics."""

    path: pathlib.Path
    digest: str
    bytes: int


@dataclass(frozen=True)
class History:
    """The rounds that a federation has kept, over one run or several consecutive runs.

    Attributes:
        kept: number of the round, counted since training began, to its file; ascending.
        shapes: shapes of the model's weights.
    """

    kept: dict[int, _Kept]
    shapes: list[tuple[int, ...]]

    @classmethod
    def of(
        cls,
        folder: pathlib.Path,
        lines: Sequence[dict],
        policy: HistoryPolicy,
        shapes: Sequence[tuple[int, ...]],
        before: int = 0,
    ) -> History:
        """Return the history recorded in the metrics `lines` of a run."""
        written = {line["round"]: line for line in lines if "history_sha256" in line}
        newest = max(written, default=0)
        return cls(
            {
                before + n: _Kept(_path(folder, n), line["history_sha256"], line["history_bytes"])
                for n, line in sorted(written.items())
                if n == newest or policy.stays(n)
            },
            [tuple(shape) for shape in shapes],
        )

    def then(self, later: History) -> History:
        """Return this history followed by a later one."""
        return History({**self.kept, **later.kept}, self.shapes)

    @property
    def rounds(self) -> list[int]:
        """Numbers of the kept rounds."""
        return list(self.kept)

    def bytes(self, rounds: Sequence[int] | None = None) -> int:
        """Return the size of some rounds in bytes; default all rounds."""
        return sum(self.kept[n].bytes for n in (self.kept if rounds is None else rounds))

    def read(self, number: int) -> HistoryRound:
        """Return a kept round.

        Raises:
            UserError: its file is missing, unreadable, or not the one named in the metrics.
        """
        self.verify([number])
        path = self.kept[number].path
        with _readable(path, self.kept[number].digest):
            arrays = read_arrays(path)
            return HistoryRound(
                int(arrays["round"]),
                from_vector(arrays["weights"], self.shapes),
                arrays["ids"],
                self._updates(arrays["updates"]),
                arrays["examples"],
            )

    def verify(self, rounds: Sequence[int] | None = None) -> None:
        """Raise a `UserError` unless the files of some rounds, default all, are intact."""
        for number in self.kept if rounds is None else rounds:
            path, named = self.kept[number].path, self.kept[number].digest
            with _readable(path, named):
                found = checksum(path)
                if found != named:
                    raise UserError(
                        f"history: {path} is damaged: its SHA-256 is {found[:16]}..., "
                        f"metrics.jsonl names {named[:16]}..."
                    )

    def ids(self, number: int) -> np.ndarray:
        """Return the ids of the participants of a kept round, without reading the whole file."""
        path = self.kept[number].path
        with _readable(path, self.kept[number].digest), np.load(path, allow_pickle=False) as file:
            return file["ids"]

    def _updates(self, stack: np.ndarray) -> np.ndarray:
        if stack.ndim != 2 or stack.shape[1] != sum(sizes_of(self.shapes)):
            raise ValueError(f"updates of shape {stack.shape} do not fit the model")
        return stack


@contextlib.contextmanager
def _readable(path: pathlib.Path, named: str) -> Iterator[None]:
    """Convert any error in the block into a one-line `UserError` that names the file."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(
            f"history: {path} is missing; metrics.jsonl names it with SHA-256 {named[:16]}..."
        )
    except Exception as error:  # numpy and zipfile raise many types of errors
        raise UserError(
            f"history: {path} (SHA-256 {named[:16]}...) cannot be read ({first_line(error)})"
        )


def _path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"round_{number:05d}.npz"
