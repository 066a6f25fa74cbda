"""Recording of finished rounds: metrics, checkpoint, model, TensorBoard."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.pruning.records import as_json
from tfunlearn.runs.history_store import HistoryWriter
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.federation import Federation

EVENTS = ("test_accuracy", "test_loss", "attack_success", "source_error", "train_loss")


class Recorder:
    """Run rounds and write each of them to disk before the next one starts.

    Args:
        directory: the run directory.
        history: writer of the rounds kept for unlearning.
        measure: `weights -> metrics`.
        on_round: called with each line of `metrics.jsonl`.
    """

    def __init__(
        self,
        directory: RunDirectory,
        history: HistoryWriter,
        measure: Callable[[list[np.ndarray]], dict],
        on_round: Callable[[dict], None],
    ):
        self._directory, self._history = directory, history
        self._measure, self._on_round = measure, on_round

    @contextlib.contextmanager
    def events(self) -> Iterator[None]:
        """Also write the metrics of the rounds in the block to TensorBoard."""
        writer = tf.summary.create_file_writer(str(self._directory.tensorboard))
        with writer.as_default():
            yield
        writer.close()

    def run(
        self,
        run_round: Callable,
        state: ServerState,
        cohort: Cohort,
        federation: Federation,
        **more,
    ) -> tuple[ServerState, dict]:
        """Run one round and record it.

        Args:
            run_round: `(state, cohort) -> (state, report)`.
            state: the state before the round.
            cohort: the clients of the round.
            federation: the federation, which determines the attackers.
            **more: further entries of the metrics line.

        Returns:
            The state after the round, and its line of `metrics.jsonl`.
        """
        started, number = time.perf_counter(), state.finished + 1
        state, report = run_round(state, cohort)
        worked = time.perf_counter() - started
        line: dict[str, Any] = dict(
            round=number,
            **self._measure(state.weights),
            **_what_happened(report, cohort, federation),
            **more,
            **self._history.note(),
        )
        line["checkpoint_sha256"] = self._directory.write_state(state)
        line["work_seconds"] = round(worked, 4)
        line["seconds"] = round(time.perf_counter() - started, 4)
        self._directory.append_metrics(line)
        self._history.settle(number)
        for name in EVENTS:
            if line[name] is not None:
                tf.summary.scalar(name, line[name], step=number)
        tf.summary.flush()
        self._on_round(line)
        return state, line


def _what_happened(report: RoundReport, cohort: Cohort, federation: Federation) -> dict:
    attackers = []
    if federation.attacked(cohort.round_number):
        attackers = np.intersect1d(cohort.ids, federation.malicious)
    if federation.config.update_attack and not federation.attack.on_data:
        attackers = report.crafted
    return dict(
        train_loss=report.train_loss,
        clients=len(cohort.ids),
        participants=[int(k) for k in cohort.ids],
        attackers=[int(k) for k in attackers],
        crafted=list(report.crafted),
        dropped=list(report.dropped),
        rejected=list(report.rejected),
        pruned=as_json(report.pruned),
    )
