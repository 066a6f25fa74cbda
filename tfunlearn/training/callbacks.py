"""Callbacks of a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.federation import Federation


class TrainingCallbacks:
    """Callbacks of a training run; all methods are no-ops. Override those of interest.

    Example:
        class Rounds(TrainingCallbacks):
            def on_round_end(self, line):
                print(line["round"], line["test_accuracy"])

        train(run_config(), watch=Rounds())
    """

    def on_start(
        self, directory: RunDirectory, federation: Federation, model: Any, finished: int
    ) -> None:
        """Called once before the first round.

        Args:
            directory: the run directory.
            federation: data, clients and adversary.
            model: the Keras model.
            finished: number of rounds that are finished already.
        """

    def on_round_end(self, line: dict) -> None:
        """Called with each line of `metrics.jsonl`."""

    def on_damage(self, words: str) -> None:
        """Called with a description of each damage before a run is resumed."""


SILENT = TrainingCallbacks()


class FunctionCallbacks(TrainingCallbacks):
    """Callbacks that call functions, where given, in place of the methods of other callbacks.

    Args:
        watch: the other callbacks.
        start, round, damage: called in place of `on_start`, `on_round_end`, `on_damage`.
    """

    def __init__(
        self,
        watch: TrainingCallbacks | None = SILENT,
        start: Callable | None = None,
        round: Callable | None = None,
        damage: Callable | None = None,
    ):
        watch = watch or SILENT
        self._start, self._round = start or watch.on_start, round or watch.on_round_end
        self._damage = damage or watch.on_damage

    def on_start(
        self, directory: RunDirectory, federation: Federation, model: Any, finished: int
    ) -> None:
        self._start(directory, federation, model, finished)

    def on_round_end(self, line: dict) -> None:
        self._round(line)

    def on_damage(self, words: str) -> None:
        self._damage(words)
