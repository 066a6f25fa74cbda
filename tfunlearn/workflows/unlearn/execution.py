"""Execution of a plan: waiting rounds if needed, recovery round by round, the new run's files."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum
from tfunlearn.core.records import Measured, UnlearningRecord
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.evaluation.signal import SignalProbe
from tfunlearn.local_training.state import ServerState
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.report import save_recovery
from tfunlearn.runs.history_store import History, HistoryWriter
from tfunlearn.runs.recovery_point import RecoveryPoint, last_valid_checkpoint, rewind
from tfunlearn.runs.run_directory import RunDirectory, write_record
from tfunlearn.training.engine import changes_since, engine_notes, engine_of, in_words, until
from tfunlearn.training.recording import Recorder
from tfunlearn.training.rounds import rounds_of
from tfunlearn.training.train import write_setup
from tfunlearn.unlearning.stopping import is_over
from tfunlearn.workflows.unlearn.callbacks import UnlearningCallbacks
from tfunlearn.workflows.unlearn.folders import LEFT
from tfunlearn.workflows.unlearn.guard import PATIENCE, RecoveryGuard, damage
from tfunlearn.workflows.unlearn.outcome import failure_in_words, recovery_outcome, request_fields
from tfunlearn.workflows.unlearn.progress_log import ProgressLog

PROBE = 200  # images used to detect layers without signal


@dataclass
class _Progress:
    """Progress of an unlearning.

    Attributes:
        state: the current weights, and the number of finished rounds of the new run.
        goal: accuracy on the retain set before unlearning.
        left: recovery point of an interrupted process.
        notebook: log of what a resuming process needs in addition to the checkpoint.
        cost: cost of the rounds.
        accuracies: accuracy on the retain set at the start of recovery and after each of its
            rounds.
        waited: number of waiting rounds.
        failed: why the model is ruined, None if it is not.
    """

    state: ServerState
    goal: float
    left: RecoveryPoint
    notebook: ProgressLog
    cost: Cost = Cost()
    accuracies: list[float] = field(default_factory=list)
    waited: int = 0
    failed: str | None = None

    def finished_line(self, number: int) -> dict | None:
        """Return the metrics of a round finished by an earlier process, else None."""
        return self.left.lines[number - 1] if number <= len(self.left.lines) else None


def perform(
    task: UnlearningTask,
    directory: RunDirectory,
    keys: dict[str, str],
    measure: Callable,
    watch: UnlearningCallbacks,
) -> None:
    """Unlearn into `directory`, a folder that no other process writes to.

    Rounds that an earlier process has finished there are not repeated. (If the request had to wait,
    only waiting rounds are kept: the history gathered in them may be lost.)

    Args:
        task: the task.
        directory: the folder.
        keys: keys of the run's record.
        measure: `weights -> metrics`.
        watch: callbacks.

    Raises:
        UserError: the method cannot do this task.
    """
    started, source = time.perf_counter(), task.source
    wait = rounds_to_wait(task)
    plan = None if wait else _make_plan(task, watch)
    before = measure(source.state.weights)
    left = _left(directory, wait)
    engine = _engine_notes(directory, source.federation.config, left)
    if left.state is not None:
        watch.on_resume(left)
    forgotten = source.forget_mask | task.forgotten
    write_setup(directory, source.federation, source.model, forgotten, engine)
    if task.settings.origin is not None:
        directory.copy_methods([task.settings.origin])
    finished = len(left.lines)
    history = HistoryWriter(
        directory.history,
        source.federation.history,
        0 if plan and plan.restarts else source.rounds,
        finished,
    )
    recorder = Recorder(directory, history, measure, watch.on_round_end)
    done = _Progress(
        left.state or ServerState(source.state.weights, 0, source.state.reference),
        before["remain_accuracy"],
        left,
        ProgressLog(directory.path / LEFT, started),
    )
    with contextlib.ExitStack() as stack:
        if plan is None or (plan.rounds and plan.remote):
            stack.enter_context(engine_of(source.federation.config).at_work(directory.worker_log))
        if plan is None or plan.rounds:
            stack.enter_context(recorder.events())
        if plan is None:
            task = _run_waiting_rounds(task, directory, recorder, history, wait, done)
            plan = _make_plan(task, watch)
        start = measure(plan.start)
        guard = _guard(task, plan, before, start)
        if guard is not None and guard.untrained:
            task.caution(f"before unlearning, {guard.chance_in_words(before)}: train it longer")
        silent = SilentLayers(task, plan.report)
        silent.check(plan.start)
        _recover(task, plan, recorder, history, done, start, guard, silent)
    directory.change_config(lambda stored: until(stored, done.state.finished))  # if none was left
    if not done.state.finished:
        directory.write_state(done.state)
    directory.restore(source.model, done.state)
    after = measure(done.state.weights)
    if guard is not None and done.failed is None and not task.own.asks_no_rounds:
        done.failed = guard.failure_at_end(after)
    if done.failed is not None:
        done.failed = failure_in_words(task, plan, done.failed, silent.names)
    if silent.names:
        task.caution(silent.in_words)
    measured = Measured(before, start, after, after if task.method.is_reference else None)
    save_recovery(directory.curves, directory.read_metrics(), measured)
    write_record(
        directory,
        UnlearningRecord(
            **keys,
            **request_fields(task, plan, done.waited),
            rounds=len(done.accuracies) - 1,
            report=plan.report,
            measured=measured,
            recovered=recovery_outcome(task, plan, done.accuracies, done.goal),
            failed=done.failed,
            damaged=None if task.method.is_reference else damage(before, after, None),
            warnings=task.warnings,
            dropped=list(task.dropped),
            unknown=list(task.unknown),
            held_out=list(task.held_out),
            identifiers=list(task.identifiers),
            detections=[dataclasses.asdict(one) for one in task.detections],
            reason=task.reason,
            reference=None,
            checkpoint_sha256=checksum(directory.checkpoint),
            cost=dataclasses.replace(
                done.cost + plan.cost, seconds=done.notebook.seconds
            ).rounded(),
        ),
    )


def _guard(task: UnlearningTask, plan: Plan, before: dict, start: dict) -> RecoveryGuard | None:
    """Return the guard of the recovery; None for retraining, the reference of all comparisons.

    A plan that restarts from scratch may spend half of its rounds at chance level.
    """
    if task.method.is_reference:
        return None
    patience = max(PATIENCE, -(-plan.rounds // 2)) if plan.restarts else PATIENCE
    return RecoveryGuard(task.remaining.poisoned.labels, before, start, patience)


class SilentLayers:
    """Detector of layers whose outputs no longer depend on the input when recovery starts.

    Args:
        task: the task; its retained training images are the probe, and warnings go to it.
        report: the method's report; its `silent_layers` keeps the names for a resuming process.

    Attributes:
        names: names of these layers.
    """

    def __init__(self, task: UnlearningTask, report: dict):
        images = task.remaining.clients.features
        rows = at_most(np.arange(len(images)), PROBE, generator(task.seed, "probe of the layers"))
        self._task, self._report = task, report
        self._probe = SignalProbe(task.source.model, images[rows]) if len(rows) > 1 else None

    def check(self, weights: Sequence[np.ndarray] | None) -> None:
        """Check a model, if any, and warn of its layers without signal."""
        if weights is None or self._probe is None:
            return
        self._task.source.model.set_weights(weights)
        self._report["silent_layers"] = self._probe()
        if self.names:
            self._task.caution(self.in_words)

    @property
    def names(self) -> list[str]:
        return self._report.get("silent_layers", [])

    @property
    def in_words(self) -> str:
        """The names as a warning."""
        return (
            f"no signal passes {', '.join(self.names)}: the outputs are the same for all "
            "images, and training may not bring them back"
        )


def _left(directory: RunDirectory, wait: int) -> RecoveryPoint:
    """Load the last usable recovery point, and delete the files of rounds after it."""
    try:
        left = last_valid_checkpoint(directory)
    except UserError:
        left = RecoveryPoint(None, [], [])
    if left.state is None or (wait and left.state.finished >= wait):
        left = RecoveryPoint(None, [], left.damaged)
    rewind(directory, left)
    return left


def _engine_notes(
    directory: RunDirectory, config: RunConfig, left: RecoveryPoint
) -> dict[str, Any]:
    """Return the notes on the engine; a change since the rounds before is told in `left`."""
    try:
        stored = directory.read_config()
    except (OSError, ValueError):  # the first start, or damaged; it is written again
        return engine_notes(config)
    changes = changes_since(stored, config, len(left.lines))
    if changes:
        left.damaged.append(in_words(changes))
    return engine_notes(config, stored, len(left.lines))


def _make_plan(task: UnlearningTask, watch: UnlearningCallbacks) -> Plan:
    """Make the plan of a task, check that its weights are finite, and announce it."""
    started = time.perf_counter()
    plan = task.method.plan(task, task.own)
    plan = dataclasses.replace(
        plan, cost=plan.cost + Cost(work_seconds=time.perf_counter() - started)
    )
    if not all(np.isfinite(weight).all() for weight in plan.start):
        raise UserError(
            f"method: {task.settings.method} gives weights that are not finite for "
            "this run; take another method"
        )
    watch.on_plan(plan)
    return plan


def rounds_to_wait(task: UnlearningTask) -> int:
    """Return the number of rounds until the rate limiter accepts the request."""
    return task.method.rounds_to_wait(task)


def check_before_waiting(task: UnlearningTask) -> None:
    """Check that the request would not fail after waiting.

    Raises:
        UserError: it would fail.
    """
    if rounds_to_wait(task):
        task.method.check_before_waiting(task)


def _run_waiting_rounds(
    task: UnlearningTask,
    directory: RunDirectory,
    recorder: Recorder,
    history: HistoryWriter,
    wait: int,
    done: _Progress,
) -> UnlearningTask:
    """Run the waiting rounds, in which flagged clients send updates that are not aggregated.

    Remaining clients are sampled as usual; in addition every flagged client sends its update, so
    that the last round contains both groups.
    """
    source, federation = task.source, task.source.federation
    engine = rounds_of(
        source.remaining,
        source.model,
        keep=history.keep,
        excluded=task.flagged,
        gather=True,
        seed=task.seed,
    )
    for number in range(source.rounds + 1, source.rounds + wait + 1):
        ids = np.union1d(task.remaining.cohort(number).ids, task.flagged)
        cohort = source.remaining.cohort(number, ids)
        cost = round_cost(cohort.examples, federation.client_training, task.parameters)
        line = done.finished_line(number - source.rounds)
        if line is None:
            done.state, line = recorder.run(
                engine,
                done.state,
                cohort,
                source.remaining,
                phase="wait",
                client_steps=cost.client_steps,
            )
        done.cost += cost + Cost(work_seconds=line["work_seconds"])
    kept = History.of(
        directory.history,
        directory.read_metrics(),
        federation.history,
        [w.shape for w in done.state.weights],
        source.rounds,
    )
    done.waited = wait
    return dataclasses.replace(
        task,
        source=dataclasses.replace(
            source, state=done.state, rounds=source.rounds + wait, history=source.history.then(kept)
        ),
    )


def _recover(
    task: UnlearningTask,
    plan: Plan,
    recorder: Recorder,
    history: HistoryWriter,
    done: _Progress,
    start: dict,
    guard: RecoveryGuard | None,
    silent: SilentLayers,
) -> None:
    """Run the rounds of a plan until all are done, or the stop rule or the guard ends them."""
    source, remaining = task.source, task.recovering
    done.accuracies = [start["remain_accuracy"]]
    if done.waited or done.left.state is None:
        done.state = ServerState(plan.start, done.waited)
    if not plan.rounds:
        return
    keeps = source.federation.history.keeps
    keep = history.keep if keeps and task.keeps else None
    run_round = (
        plan.rounds_by(keep)
        if plan.rounds_by
        else rounds_of(
            remaining, source.model, training=plan.training, keep=keep, gather=keeps, seed=task.seed
        )
    )
    run_round = done.notebook.kept(run_round, plan.report, done.state.finished)
    entries = task.parameters if plan.entries is None else plan.entries
    before, lines = 0 if plan.restarts else source.rounds, []
    for number in range(1, plan.rounds + 1):
        cohort = (
            plan.cohort(number)
            if plan.cohort
            else remaining.cohort(before + number, seed=task.seed)
        )
        cost = (
            plan.cost_of(number)
            if plan.cost_of
            else round_cost(cohort.examples, plan.training, entries)
        )
        line = None if done.waited else done.finished_line(number)
        if line is None:
            done.state, line = recorder.run(
                run_round,
                done.state,
                cohort,
                remaining,
                phase="recover",
                client_steps=cost.client_steps,
            )
        done.accuracies.append(line["remain_accuracy"])
        done.cost += cost + Cost(work_seconds=line["work_seconds"])
        if number == plan.settles_after:
            silent.check(done.state.weights if line["round"] == done.state.finished else None)
            if guard is not None:
                guard.restart(line)
        elif number > plan.settles_after:
            lines.append(line)
        settled = done.accuracies[plan.settles_after :]
        if settled and is_over(plan.stop, settled, done.goal):
            return
        done.failed = guard.failure(lines) if guard is not None else None
        if done.failed is not None:
            return
