"""Output of `tfunlearn unlearn`: a bar on a terminal, plain lines in a pipe, a final table."""

from __future__ import annotations

import os
import pathlib
import shlex
from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from tfunlearn.core.errors import FailedRun
from tfunlearn.core.requests import quoted
from tfunlearn.methods.callbacks import UnlearningCallbacks
from tfunlearn.methods.method import UNLEARNING, in_words
from tfunlearn.methods.settings import reference_method
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.report.detections import basis
from tfunlearn.report.summaries import (
    cost_in_words,
    count,
    recovery,
    request_in_words,
    rounds_behind,
)
from tfunlearn.runs.recovery_point import RecoveryPoint
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole, bars, measuring
from tfunlearn_cli.display import engine_words, given_settings, number

ROWS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "attack_success": "attack success",
    "source_error": "source error",
    "forget_accuracy": "accuracy on the forget set",
    "poisoned_accuracy": "accuracy on its poisoned examples",
    "remain_accuracy": "accuracy on the retain set",
    "earlier_forget_accuracy": "accuracy on earlier forget sets",
    "forget_test_accuracy": "test accuracy, forgotten classes",
    "remain_test_accuracy": "test accuracy, other classes",
}


class UnlearningDisplay(UnlearningCallbacks):
    """Show an unlearning in progress; a context manager."""

    def __init__(self, run: str):
        self._run, self._console = run, PlainConsole()
        self._progress = bars(self._console)
        self._task, self._rounds, self._begun, self._method = None, 0, False, ""
        self._folder, self._unlearning = "", None

    def __enter__(self):
        self._say("loading TensorFlow")
        self._progress.start()
        return self

    def __exit__(self, kind, *_):
        self._progress.stop()
        if signals.stopped(kind) and self._begun:
            self._say(
                f"stopped   the same command, or tfunlearn resume {self._folder}, continues "
                "from the last finished round"
            )

    def on_damage(self, words: str) -> None:
        """Print a description of repaired damage."""
        self._say(f"warning: {words}; repaired")

    def on_warning(self, words: str) -> None:
        """Print a warning."""
        self._say(f"warning: {words}")

    def on_start(self, task: UnlearningTask, waiting: int, folder: pathlib.Path) -> None:
        """Print the request, the method, warnings, and the remaining clients."""
        self._folder = os.path.relpath(folder)
        self._begun, source, self._method = True, task.source, task.settings.method
        remaining = task.remaining.clients
        self._say(f"run       {self._run}: {count(source.rounds, 'round')}")
        self._say(f"engine    {engine_words(source.federation.config)}")
        self._names = source.federation.names
        self._say(f"forget    {self._request(task)}")
        if task.dropped:
            self._say(
                f"dropped   {request_in_words(list(task.dropped), self._names)}: forgotten by an "
                "earlier request"
            )
        if task.unknown:
            self._say(
                f"unknown   {count(len(task.unknown), 'identifier')} of the request "
                f"{'is' if len(task.unknown) == 1 else 'are'} of no example: "
                f"{quoted(task.unknown)}"
            )
        if task.held_out:
            self._say(
                f"held out  {count(len(task.held_out), 'identifier')} of test examples, which the "
                f"model was not trained on: {quoted(task.held_out)}"
            )
        for one in task.detections:
            self._say(f"detected  by {one.found.detector}: {basis(one.found)}")
        if task.identifiers:
            self._say(f"found     {quoted(task.identifiers)}")
        if task.reason:
            self._say(f"method    {self._method}: {task.reason} (--method names another)")
        settings = given_settings(task.own)
        if settings:
            self._say(f"settings {settings}")
        for words in task.warnings:
            self.on_warning(words)
        if task.overlap:
            self._say(
                f"overlap   {task.overlap:.1%} of these examples are also held by remaining clients"
            )
        self._say(
            f"remain    {count(len(remaining.present), 'client')} with "
            f"{count(len(remaining.labels), 'example')}"
        )
        self._unlearning = task
        if waiting:
            self._say(
                f"wait      {count(waiting, 'round')} on the retain set: at least "
                f"{task.own.rate_limit} between two unlearnings (--rate-limit)"
            )
            self._rounds = waiting
            self._task = self._progress.add_task("waiting", total=waiting)

    def on_resume(self, point: RecoveryPoint) -> None:
        """Print the round from which the unlearning resumes."""
        for words in point.damaged:
            self._say(f"warning: {words}")
        self._say(f"resume    after {count(len(point.lines), 'round')}")
        if self._task is not None:
            self._progress.update(self._task, completed=len(point.lines))

    def track(self, steps: Sequence) -> Iterator:
        """Show a bar while iterating over the steps of a measurement."""
        return measuring(self._progress, steps)

    def on_plan(self, plan: Plan) -> None:
        """Print what the method will do."""
        self._say(f"method    {self._method}{in_words(self._method, plan.report)}")
        for line in UNLEARNING.find(self._method).remarks(plan.report):
            self._say(line)
        if plan.rounds:
            note = _attackers(self._unlearning, plan.rounds)
            if note:
                self._say(f"attack    {note}")
            self._rounds += plan.rounds
            self._task = self._progress.add_task("recovery", total=plan.rounds)

    def on_report(self, report: dict) -> None:
        """Print what a method reports between its rounds."""
        self._say(f"method    {self._method}{in_words(self._method, report)}")

    def on_round_end(self, line: dict) -> None:
        """Show a finished round."""
        signals.check()
        if self._task is not None:
            self._progress.update(self._task, advance=1)
        self._line(line, self._rounds, line["phase"])

    def on_reference_start(self, rounds: int) -> None:
        """Print that the retraining for comparison starts."""
        if self._task is not None:  # a stop rule may have ended it early
            self._progress.remove_task(self._task)
        self._say(
            f"retrain   {rounds} rounds from scratch, for comparison (skip with --no-reference)"
        )
        self._rounds = rounds
        self._task = self._progress.add_task("retraining", total=rounds)

    def on_reference_round_end(self, line: dict) -> None:
        """Show a finished round of the retraining."""
        signals.check()
        if self._task is not None:
            self._progress.update(self._task, advance=1)
        if line["round"] in (1, self._rounds) or line["round"] % 10 == 0:
            self._line(line, self._rounds, "retrain")

    def finish(self, run) -> None:
        """Print metrics before, after and retrained, the cost, and the files."""
        record = run.record
        if not run.new:
            names = run.directory.read_names()
            self._say(
                f"found     {run.directory.path}, an earlier unlearning with these settings; "
                f"{record.method} of {request_in_words(record.requests[-1], names)}"
            )
            for words in record.warnings:
                self.on_warning(words)
        measured = record.measured
        titles = [
            title
            for title in ("before", "after", "retrained")
            if measured.of(title) and (title, record.method) != ("after", reference_method())
        ]
        table = Table("", *titles, box=None)
        for name, label in ROWS.items():
            if any(measured.of(title).get(name) is not None for title in titles):
                table.add_row(label, *(number(measured.of(title).get(name)) for title in titles))
        rounds = {
            "before": str(record.rounds_before or record.training_rounds),
            "after": rounds_behind(record),
            "retrained": str(record.training_rounds),
        }
        table.add_row("rounds of training", *(rounds[title] for title in titles))
        PlainConsole(width=100).print(table)
        self._say(f"recovery  {recovery(record)}")
        if record.recovered.stop == "target" and not record.recovered.reached:
            self._say("warning: accuracy on the retain set is over a percentage point below before")
        if record.damaged and not record.failed:
            self._say(f"damaged   {record.damaged}")
        self._say(f"cost      {cost_in_words(record.cost)}" + ("" if run.new else " (of that run)"))
        self._say(
            f"files     {run.directory.path}: model.keras, unlearning.json, metrics.jsonl, "
            "curves.png"
        )
        if record.reference:
            self._say(f"retrained {os.path.relpath(record.reference)}")
        if not record.failed and record.method != reference_method():
            self._say(f"next      tfunlearn verify {shlex.quote(str(run.directory.path))}")

    def _request(self, task) -> str:
        words = []
        if len(task.flagged):
            ids = ", ".join(map(self._names.of_client, task.flagged[:20])) + (
                ", ..." if len(task.flagged) > 20 else ""
            )
            words.append(f"client{'s' * (len(task.flagged) > 1)} {ids}")
        parts = [word for word in task.settings.forget if not word.startswith("client:")]
        words += [request_in_words(parts, self._names)] if parts else []
        poisoned = int((task.forgotten & task.source.federation.changed).sum())
        return f"{', '.join(words)}: {count(int(task.forgotten.sum()), 'example')}" + (
            f", {poisoned} of them poisoned" if poisoned else ""
        )

    def _line(self, line: dict, rounds: int, phase: str) -> None:
        if self._console.is_terminal:
            return
        values = "  ".join(
            f"{label} {number(line[name])}"
            for name, label in (
                ("test_accuracy", "test"),
                ("forget_accuracy", "forget set"),
                ("remain_accuracy", "retain set"),
                ("attack_success", "attack success"),
                ("source_error", "source error"),
            )
        )
        self._say(
            f"{phase:<8}  round {line['round']:>{len(str(rounds))}}/{rounds}  {values}  "
            f"{line['seconds']:.2f} s"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._console.file.flush()


def _attackers(task: UnlearningTask | None, rounds: int) -> str:
    """Return a note on remaining malicious clients that attack in the method's rounds."""
    if task is None:
        return ""
    remaining = task.remaining
    attacking = np.intersect1d(remaining.malicious, remaining.clients.present)
    first = 1 if task.method.from_scratch else task.source.rounds + 1
    if not len(attacking) or not any(map(remaining.attacked, range(first, first + rounds))):
        return ""
    return f"{count(len(attacking), 'remaining client')} malicious, attacking in these rounds too"


def end_if_failed(run) -> None:
    """Raise `FailedRun` with the cause, which ends in exit code 1, if the unlearning failed."""
    if run.failed:
        raise FailedRun(
            f"failed: {run.failed} (the run is kept, marked as failed: {run.directory.path})"
        )
