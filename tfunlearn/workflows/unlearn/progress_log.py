"""Log that an unlearning keeps next to its checkpoints, so that another process can resume it."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable

from tfunlearn.core.files import write_json


class ProgressLog:
    """Log of the method's report and of the elapsed time after each of the last two rounds.

    Two rounds are kept, since a process may end between writing the log and the checkpoint.

    Args:
        path: the file; the entries of an earlier process are read.
        started: `time.perf_counter()` at the start of this process.
    """

    def __init__(self, path: pathlib.Path, started: float):
        self._path, self._started, self._before = path, started, 0.0
        try:
            self._pages = json.loads(path.read_text())
        except (OSError, ValueError):  # no log yet
            self._pages = {}

    @property
    def seconds(self) -> float:
        """Time taken by this process and the earlier ones, in seconds."""
        return round(self._before + time.perf_counter() - self._started, 3)

    def kept(self, run_round: Callable, report: dict, finished: int) -> Callable:
        """Return `run_round` wrapped so that `report` is saved after each round.

        Args:
            run_round: `(state, cohort) -> (state, report of the round)`.
            report: the method's report, changed by its rounds; restored to its state after
                `finished`.
            finished: number of the round to resume from.
        """
        page = self._pages.get(str(finished))
        if finished and page is not None:
            report.clear()
            report.update(page["report"])
            self._before = page["seconds"]
        pages = {finished: page} if page else {}

        def run(state, cohort):
            after, happened = run_round(state, cohort)
            now = json.loads(json.dumps({"report": report, "seconds": self.seconds}))
            pages.pop(after.finished - 2, None)
            pages[after.finished] = now
            write_json(self._path, pages)
            return after, happened

        return run
