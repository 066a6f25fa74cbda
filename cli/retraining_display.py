"""Output of commands that train models before they measure: a bar for each training."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Sequence

from tfunlearn.methods.callbacks import UnlearningCallbacks
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.report.summaries import count, request_in_words
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole, bars, measuring
from tfunlearn_cli.display import number


class RetrainingDisplay(UnlearningCallbacks):
    """Show trainings in progress; a context manager."""

    def __init__(self):
        self.console = PlainConsole(width=160)
        self._progress = bars(self.console)
        self._task, self._rounds, self._begun = None, 0, 0

    def __enter__(self):
        self._say("loading TensorFlow and the runs")
        self._progress.start()
        return self

    def __exit__(self, kind, *_):
        self._progress.stop()
        if signals.stopped(kind) and self._begun:
            self._say("stopped   complete models are kept; the same command continues after them")

    def track(self, steps: Sequence) -> Iterable:
        """Show a bar while iterating over the steps of a measurement."""
        return measuring(self._progress, steps)

    def on_stage(self, words: str) -> None:
        """Print the next stage, and remove the bar of the last training."""
        self._end_task()
        self._say(words)

    def on_start(self, task: UnlearningTask, waiting: int, folder: pathlib.Path) -> None:
        """Print that a model is about to be trained."""
        self._begun, self._rounds = self._begun + 1, task.source.training_rounds
        self._end_task()
        if not task.method.is_reference:
            self._say(
                f"unlearn   control: {task.settings.method}, {task.settings.saliency} weights"
            )
            return
        self._say(
            f"retrain   model {self._begun}: {count(self._rounds, 'round')} without "
            f"{request_in_words(list(task.settings.forget))}, seed {task.seed}"
        )
        self._task = self._progress.add_task(f"model {self._begun}", total=self._rounds)

    def on_reference_round_end(self, line: dict) -> None:
        """Show a finished round of a training."""
        signals.check()
        if self._task is None:
            return
        self._progress.update(self._task, advance=1)
        if not self.console.is_terminal and (
            line["round"] in (1, self._rounds) or line["round"] % 10 == 0
        ):
            self._say(
                f"retrain   round {line['round']:>{len(str(self._rounds))}}/{self._rounds}  "
                f"test {number(line['test_accuracy'])}  {line['seconds']:.2f} s"
            )

    def _end_task(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False)
        self.console.file.flush()
