"""The rounds that a run keeps for unlearning, as files with checksums in its metrics."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import checksum, read_arrays, write_arrays
from tfunlearn.core.history import HistoryPolicy, HistoryRound
from tfunlearn.core.vectors import from_vector, sizes_of, to_vector


class HistoryWriter:
    """Writes `history/round_<number>.npz`, numbered from 1 within the run.

    Args:
        folder: made when the first round is kept.
        policy: which rounds stay.
        before: rounds of the federation that came before this run.
        finished: rounds of this run that are there already.
    """

    def __init__(
        self, folder: pathlib.Path, policy: HistoryPolicy, before: int = 0, finished: int = 0
    ):
        self._folder, self._policy, self._before = folder, policy, before
        self._newest, self._note = finished or None, {}
        for path in folder.glob("round_*.npz") if folder.is_dir() else ():
            number = int(path.stem.rpartition("_")[2])
            if number > finished or (number < finished and not policy.stays(number)):
                path.unlink()  # a process was killed before it could

    def keep(self, received: HistoryRound) -> None:
        """Writes a round; earlier ones stay until `settle`."""
        self._folder.mkdir(exist_ok=True)
        number = received.round_number - self._before
        path = _path(self._folder, number)
        digest = write_arrays(
            path,
            dict(
                round=np.int64(received.round_number),
                weights=to_vector(received.weights),
                updates=received.updates,
                ids=received.ids.astype(np.int64),
                examples=received.examples.astype(np.int64),
            ),
        )
        self._note = {"history_sha256": digest, "history_bytes": os.path.getsize(path)}

    def note(self) -> dict:
        """Returns checksum and size of the round just kept, for its metrics line."""
        note, self._note = self._note, {}
        return note

    def settle(self, number: int) -> None:
        """Removes the round before `number`, whose line is written, unless it stays for good."""
        if self._newest is not None and not self._policy.stays(self._newest):
            _path(self._folder, self._newest).unlink(missing_ok=True)
        self._newest = number


@dataclass(frozen=True)
class _Kept:
    """A round on disk: its file, and what the metrics say of that."""

    path: pathlib.Path
    digest: str
    bytes: int


@dataclass(frozen=True)
class History:
    """The rounds that a federation has kept, over one run or several that follow each other.

    Attributes:
        kept: number of the round, counted since training began, to its file; rising.
        shapes: of the model's weights.
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
        """Returns what the metrics `lines` of a run say that it has kept."""
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
        """Returns both, one after the other."""
        return History({**self.kept, **later.kept}, self.shapes)

    @property
    def rounds(self) -> list[int]:
        """Numbers of the kept rounds."""
        return list(self.kept)

    def bytes(self, rounds: Sequence[int] | None = None) -> int:
        """Returns the bytes of some rounds, default all."""
        return sum(self.kept[n].bytes for n in (self.kept if rounds is None else rounds))

    def read(self, number: int) -> HistoryRound:
        """Returns a kept round.

        Raises:
            UserError: its file is missing or is not the one that the metrics name.
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
        """Raises a `UserError` unless the files of some rounds, default all, are whole."""
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
        """Returns who took part in a kept round, without reading all of it."""
        path = self.kept[number].path
        with _readable(path, self.kept[number].digest), np.load(path, allow_pickle=False) as file:
            return file["ids"]

    def _updates(self, stack: np.ndarray) -> np.ndarray:
        if stack.ndim != 2 or stack.shape[1] != sum(sizes_of(self.shapes)):
            raise ValueError(f"updates of shape {stack.shape} do not fit the model")
        return stack


@contextlib.contextmanager
def _readable(path: pathlib.Path, named: str) -> Iterator[None]:
    """Makes one line of whatever goes wrong with a file within."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(
            f"history: {path} is missing; metrics.jsonl names it with SHA-256 {named[:16]}..."
        )
    except Exception as error:  # numpy and zipfile raise whatever they trip over
        raise UserError(
            f"history: {path} (SHA-256 {named[:16]}...) cannot be read ({first_line(error)})"
        )


def _path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"round_{number:05d}.npz"
