"""What an unlearning writes down beside its checkpoints, so that another process can go on."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable

from tfunlearn.core.files import write_json


class Notebook:
    """Keeps, of the last two rounds, what the method has reported and how long it took.

    Two, since a process may end after it wrote here and before its checkpoint.

    Args:
        path: the file; what an earlier process wrote there is read.
        started: `time.perf_counter()` when this process began.
    """

    def __init__(self, path: pathlib.Path, started: float):
        self._path, self._started, self._before = path, started, 0.0
        try:
            self._pages = json.loads(path.read_text())
        except (OSError, ValueError):  # nothing yet
            self._pages = {}

    @property
    def seconds(self) -> float:
        """Time that this process and those before it have taken."""
        return round(self._before + time.perf_counter() - self._started, 3)

    def kept(self, run_round: Callable, report: dict, finished: int) -> Callable:
        """Returns `run_round`, after each of which `report` is written down.

        Args:
            run_round: `(state, cohort) -> (state, report of the round)`.
            report: of the method, changed by its rounds; set to what it was after `finished`.
            finished: round that is gone on from.
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
