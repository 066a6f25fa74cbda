"""Callbacks of unlearning, verification and evaluation."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tfunlearn.runs.recovery_point import RecoveryPoint

if TYPE_CHECKING:
    from tfunlearn.methods.task import Plan, UnlearningTask


class UnlearningCallbacks:
    """Callbacks of an unlearning run; all methods are no-ops. Override those of interest.

    Example:
        class Rounds(UnlearningCallbacks):
            def on_round_end(self, line):
                print(line["round"], line["remain_accuracy"])

        unlearn("runs/mine", watch=Rounds())
    """

    def on_start(self, task: UnlearningTask, waiting: int, folder: pathlib.Path) -> None:
        """Called before the work starts.

        Args:
            task: the task.
            waiting: number of rounds before the method may begin.
            folder: the hidden folder in which the new run is built.
        """

    def on_plan(self, plan: Plan) -> None:
        """Called with the method's plan, after any waiting rounds."""

    def on_round_end(self, line: dict) -> None:
        """Called with each line of `metrics.jsonl`."""

    def on_report(self, report: dict) -> None:
        """Called with findings of the method in the middle of its rounds."""

    def on_reference_start(self, rounds: int) -> None:
        """Called with the number of rounds before a model is retrained for comparison."""

    def on_reference_round_end(self, line: dict) -> None:
        """Called with each line of metrics of a model that is retrained for comparison."""

    def on_resume(self, point: RecoveryPoint) -> None:
        """Called with the recovery point of an interrupted process before it is resumed."""

    def on_damage(self, words: str) -> None:
        """Called with a description of a damaged file of a finished run, which was repaired."""

    def on_warning(self, words: str) -> None:
        """Called with the text of each warning."""

    def on_stage(self, words: str) -> None:
        """Called with the description of each stage of a verification before it starts."""

    def track(self, steps: Sequence) -> Iterable:
        """Return the steps of a measurement, wrapped to show progress."""
        return steps


SILENT = UnlearningCallbacks()
