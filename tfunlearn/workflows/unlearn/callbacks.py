"""Callbacks made of functions, and those of retrainings."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tfunlearn.methods.callbacks import SILENT, UnlearningCallbacks
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.runs.recovery_point import RecoveryPoint

__all__ = ["SILENT", "RoundsAsReference", "UnlearningCallbacks", "Watch"]


def _nothing(*_: Any) -> None:
    return None


class Watch(UnlearningCallbacks):
    """Callbacks made of functions, for compatibility with earlier builds.

    Args:
        start, plan, round, tell, reference, reference_round, resume, damage, warn, track: called in
            place of `on_start`, `on_plan`, `on_round_end`, `on_report`, `on_reference_start`,
            `on_reference_round_end`, `on_resume`, `on_damage`, `on_warning`, `track`.
    """

    def __init__(
        self,
        start: Callable = _nothing,
        plan: Callable = _nothing,
        round: Callable = _nothing,
        track: Callable = iter,
        tell: Callable = _nothing,
        reference: Callable = _nothing,
        reference_round: Callable = _nothing,
        resume: Callable = _nothing,
        damage: Callable = _nothing,
        warn: Callable = _nothing,
    ):
        self._track = track
        self._calls = dict(
            start=start,
            plan=plan,
            round=round,
            tell=tell,
            reference=reference,
            reference_round=reference_round,
            resume=resume,
            damage=damage,
            warn=warn,
        )

    def on_start(self, task: UnlearningTask, waiting: int, folder: pathlib.Path) -> None:
        self._calls["start"](task, waiting, folder)

    def on_plan(self, plan: Plan) -> None:
        self._calls["plan"](plan)

    def on_round_end(self, line: dict) -> None:
        self._calls["round"](line)

    def on_report(self, report: dict) -> None:
        self._calls["tell"](report)

    def on_reference_start(self, rounds: int) -> None:
        self._calls["reference"](rounds)

    def on_reference_round_end(self, line: dict) -> None:
        self._calls["reference_round"](line)

    def on_resume(self, point: RecoveryPoint) -> None:
        self._calls["resume"](point)

    def on_damage(self, words: str) -> None:
        self._calls["damage"](words)

    def on_warning(self, words: str) -> None:
        self._calls["warn"](words)

    def track(self, steps: Sequence) -> Iterable:
        return self._track(steps)


class RoundsAsReference(UnlearningCallbacks):
    """Callbacks of a retraining, which passes its rounds on as those of a reference.

    Args:
        outer: the callbacks of the caller that needs the retrained model.
        rounds: number of rounds to announce with `on_reference_start`; None calls `on_start`
            instead.
    """

    def __init__(self, outer: UnlearningCallbacks, rounds: int | None = None):
        self._outer, self._rounds = outer, rounds

    def on_start(self, task: UnlearningTask, waiting: int, folder: pathlib.Path) -> None:
        if self._rounds is None:
            self._outer.on_start(task, waiting, folder)
        else:
            self._outer.on_reference_start(self._rounds)

    def on_round_end(self, line: dict) -> None:
        self._outer.on_reference_round_end(line)

    def track(self, steps: Sequence) -> Iterable:
        return self._outer.track(steps)
