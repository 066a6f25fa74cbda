"""One unlearning, from a run directory to a new one next to it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import checksum, user_path
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.core.requests import ForgetRequest
from tfunlearn.evaluation import OutputsOf
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.settings import (
    AUTO,
    COMMON,
    UnlearnSettings,
    own_fields,
    reference_method,
    unlearn_settings,
)
from tfunlearn.methods.source import Source, open_source
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.report import save_recovery
from tfunlearn.runs.detections import StoredDetection, choose_detection, stored_detection
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record, write_record
from tfunlearn.training.federation import Federation
from tfunlearn.training.measures import ForgettingMeasures
from tfunlearn.workflows.unlearn.callbacks import SILENT, RoundsAsReference, UnlearningCallbacks
from tfunlearn.workflows.unlearn.default_method import default_method
from tfunlearn.workflows.unlearn.execution import check_before_waiting, perform, rounds_to_wait
from tfunlearn.workflows.unlearn.folders import (
    begun_name,
    fill_folder,
    finished_run,
    is_finished,
    keys_of,
    target_of,
)
from tfunlearn.workflows.unlearn.guard import damage, remembered
from tfunlearn.workflows.unlearn.repair import repair
from tfunlearn.workflows.unlearn.request import read_request, write_request


@dataclass(frozen=True)
class UnlearningRun:
    """A finished unlearning.

    Attributes:
        directory: the new run directory.
        record: request, settings, results and cost.
        metrics: the lines of its `metrics.jsonl`.
        new: False if the finished run existed already.
    """

    directory: RunDirectory
    record: UnlearningRecord
    metrics: list[dict]
    new: bool

    @property
    def notes(self) -> dict:
        """The record as `unlearning.json` holds it."""
        return self.record.as_json()

    @property
    def failed(self) -> str | None:
        """Why the unlearning failed and its model is unusable, None if it succeeded."""
        return self.record.failed


def unlearn(
    run: str | os.PathLike,
    settings: UnlearnSettings = UnlearnSettings(),
    *,
    out: str | os.PathLike | None = None,
    data_dir: str | None = None,
    watch: UnlearningCallbacks = SILENT,
) -> UnlearningRun:
    """Unlearn clients, classes or examples of a run, and compare with retraining.

    The run is read, never written. The new run appears only when it is finished: until then its
    finished rounds are in a hidden folder next to the run, and the same call, or
    `resume_unlearning`, resumes from them. A finished unlearning next to the run is not repeated,
    and neither is its retraining.

    An unlearning that ruins the model is stopped and marked (`UnlearningRun.failed`); later
    commands reject it.

    Args:
        run: the run directory, of `train` or of an earlier `unlearn`, used as the starting point.
        settings: method, request and the method's settings; method auto chooses the one that fits.
        out: the new run directory; default `<run>-<method>`, numbered if that exists.
        data_dir: folder of the data set; default the one in the run's configuration.
        watch: callbacks.

    Raises:
        UserError: there is no run, a file is damaged, the request cannot be met, the history is too
            short for the method, or `out` is in use.
        WorkerError: TFF's worker process died.
    """
    return _unlearn_task(task_of(open_source(run, data_dir), settings), out, "key", watch)


def resume_unlearning(
    run: str | os.PathLike,
    *,
    data_dir: str | None = None,
    watch: UnlearningCallbacks = SILENT,
) -> UnlearningRun:
    """Resume an interrupted unlearning, with the arguments of its first call.

    Args:
        run: path of the new run, or the hidden folder in which it is built.
        data_dir: folder of the data set; default the one of the first call.
        watch: callbacks.

    Raises:
        UserError: there is no such unlearning, or as for `unlearn`.
        WorkerError: TFF's worker process died.
    """
    request, directory = read_request(run), RunDirectory(user_path(run))
    asked = request["settings"]  # only the method's own: defaults of others have changed
    names = (*COMMON, *own_fields(asked.get("method", AUTO)))
    built_in = asked.get("method", AUTO) in (AUTO, *UNLEARNING)
    settings = unlearn_settings(
        **{
            name: asked[name]
            for name in names
            if asked.get(name) is not None
            or (name in asked and name not in COMMON and not built_in)
        }
    )
    finished = directory.unlearning.exists()
    if finished:
        with directory.locked():
            for words in repair(directory):
                watch.on_damage(words)
        record = unlearning_record(directory)
        if not _lacks_reference(settings, record):
            return UnlearningRun(directory, record, directory.read_metrics(), False)
    task = task_of(open_source(request["run"], data_dir or request["data_dir"]), settings)
    task = dataclasses.replace(
        task,
        keeps=request["keeps"],
        watch=watch,
        detections=tuple(map(stored_detection, request.get("detections", ()))),
    )
    if finished:
        record = _compare_with_retrained(task, directory, unlearning_record(directory), watch)
        return UnlearningRun(directory, record, directory.read_metrics(), False)
    return _unlearn_task(task, request["out"], request["name"], watch)


def _lacks_reference(settings: UnlearnSettings, record: UnlearningRecord) -> bool:
    return (
        settings.reference
        and not settings.unlearning_method.is_reference
        and (not record.failed and record.measured.retrained is None)
    )


def _unlearn_task(
    task: UnlearningTask,
    out: str | os.PathLike | None,
    name: str,
    watch: UnlearningCallbacks,
) -> UnlearningRun:
    """Run a task, and compare it with retraining if that was asked for."""
    task = dataclasses.replace(task, watch=watch)
    directory, new = run_task(task, out, name, watch)
    record = unlearning_record(directory)
    if _lacks_reference(task.settings, record):
        record = _compare_with_retrained(task, directory, record, watch)
    return UnlearningRun(directory, record, directory.read_metrics(), new)


def task_of(source: Source, settings: UnlearnSettings) -> UnlearningTask:
    """Return the unlearning task of a request to a run.

    Raises:
        UserError: the request names something that does not exist or was forgotten before, or
            covers all examples.
    """
    federation = source.federation
    detections: list[StoredDetection] = []

    def detected(name: str | None) -> list[int]:
        chosen = choose_detection(source.directory, name)
        detections.append(chosen)
        flagged, everyone = chosen.found.flagged, source.remaining.clients.present
        if len(np.setdiff1d(everyone, flagged)) == 0:
            raise UserError(
                f"detected: {chosen.found.detector} flagged all {len(everyone)} clients; at least "
                "one must remain; use another detector"
            )
        left = [k for k in flagged if k in everyone]
        if flagged and not left:
            raise UserError(
                f"detected: the clients that {chosen.found.detector} flagged were forgotten before"
            )
        return left

    request = ForgetRequest.parse(
        settings.forget,
        malicious=np.intersect1d(federation.malicious, source.remaining.clients.present),
        detected=detected,
    )
    request, identifiers, unknown, held_out = _resolved(request, federation)
    rows = request.rows(federation.clients, federation.data.classes)
    words = request.words()
    require(
        "forget",
        " ".join(words),
        bool((rows & ~source.forget_mask).any()),
        "examples that the run still holds; these were forgotten before, or no client held them",
    )
    forget_mask = rows | source.forget_mask
    require(
        "forget",
        " ".join(words),
        not forget_mask.all(),
        "a proper subset; at least one example must remain",
    )
    dropped = _with_nothing_left(source, words)
    remaining = federation.without(forget_mask)
    flagged = np.setdiff1d(source.remaining.clients.present, remaining.clients.present)
    seed = federation.draws if settings.unlearn_seed is None else settings.unlearn_seed
    settings = dataclasses.replace(settings, forget=tuple(w for w in words if w not in dropped))
    task = UnlearningTask(
        settings,
        source,
        rows & ~source.forget_mask,
        remaining,
        flagged,
        seed,
        dropped=tuple(dropped),
        unknown=tuple(unknown),
        held_out=tuple(held_out),
        detections=tuple(detections),
        identifiers=tuple(identifiers),
    )
    task = _with_method(task)
    settings = task.settings
    if (
        settings.reference
        or task.own.keep_defense
        or task.method.from_scratch
        or rounds_to_wait(task)
    ):
        _check_rule(remaining)
    return task


def _resolved(
    request: ForgetRequest, federation: Federation
) -> tuple[ForgetRequest, list[str], list[str], list[str]]:
    """Return a request in numbers, and its identifiers: found, unknown and held out."""
    if not request.names:
        return request, [], [], []
    clients, data = federation.clients, federation.data
    rows = np.concatenate(federation.parts)
    owners = clients.owners
    return request.resolve(
        clients=federation.client_names or [str(k) for k in range(len(clients))],
        classes=data.class_names,
        ids=None if data.ids is None else data.ids[rows].tolist(),
        places=list(
            zip(owners.tolist(), (np.arange(len(rows)) - clients.offsets[owners]).tolist())
        ),
        named=data.name,
        test_ids=None if data.test_ids is None else data.test_ids.tolist(),
        id_column=dict(federation.config.data.leaves()).get("id_column"),
    )


def _with_nothing_left(source: Source, words: list[str]) -> list[str]:
    """Return the terms of a request whose examples were all forgotten before."""
    if not source.forget_mask.any():
        return []
    clients = source.federation.clients
    found = []
    for word in words:
        request = ForgetRequest.parse([word])
        if request.examples:  # possibly thousands
            ((client, index),) = request.examples
            own = np.array([clients.offsets[client] + index])
        else:
            own = np.flatnonzero(request.rows(clients, source.federation.data.classes))
        if len(own) and source.forget_mask[own].all():
            found.append(word)
    return found


def _with_method(task: UnlearningTask) -> UnlearningTask:
    """Return the task with a method chosen, if none was named."""
    if task.settings.method == AUTO:
        method, reason = default_method(task)
        return dataclasses.replace(task, reason=reason, settings=task.settings.with_method(method))
    require(
        "recovery_rounds",
        0,
        not (task.own.asks_no_rounds and rounds_to_wait(task)),
        "at least 1 where ordinary rounds come first (--rate-limit)",
    )
    warning = task.method.caution(task)
    if warning:
        task.caution(warning)
    return task


def _check_rule(remaining: Federation) -> None:
    """Check that the run's aggregation rule and rejection work with the remaining clients.

    Raises:
        UserError: too few clients remain.
    """
    config = remaining.config
    try:
        config.aggregator.check(remaining.participants)
        if config.defense.rejection:
            config.rejection_by(None).check(remaining.participants)
    except UserError as error:
        raise UserError(
            f"{error}; without --keep-defense, and with --no-reference, the run's rule "
            "is not needed"
        )


def run_task(
    task: UnlearningTask,
    out: str | os.PathLike | None,
    name: str,
    watch: UnlearningCallbacks,
) -> tuple[RunDirectory, bool]:
    """Return the run of a task, and whether it was made just now.

    Args:
        task: the task.
        out: path of the new run; default next to the source run.
        name: the key, `"key"` or `"weights_key"`, by which a finished run in `out` (without `out`:
            next to the source run) is recognized and reused.
        watch: callbacks.

    Raises:
        UserError: as for `unlearn`.
    """
    keys = keys_of(task)
    if out is not None and str(out) and is_finished(user_path(out), name, keys[name]):
        return RunDirectory(user_path(out)), False
    target = target_of(task, out)
    if out is None:
        found = finished_run(target.parent, name, keys[name])
        if found is not None:
            return found, False
    check_before_waiting(task)
    measure = measures_of(task)  # loads the model, before anything is written
    with fill_folder(begun_name(task, target), target, numbered=out is None) as folder:
        write_request(task, RunDirectory(folder.path), out, name)
        watch.on_start(task, rounds_to_wait(task), folder.path)
        perform(
            task,
            RunDirectory(folder.path),
            keys,
            measure,
            watch,
        )
    return RunDirectory(folder.target), True


def _compare_with_retrained(
    task: UnlearningTask,
    directory: RunDirectory,
    record: UnlearningRecord,
    watch: UnlearningCallbacks,
) -> UnlearningRecord:
    """Measure the retrained model too, and update record and figure."""
    settings = UnlearnSettings(
        reference_method(), task.settings.forget, unlearn_seed=task.settings.unlearn_seed
    )
    retraining = dataclasses.replace(task, settings=settings, warnings=[], reason=None)
    silent = RoundsAsReference(watch, task.source.training_rounds)
    reference, _ = run_task(retraining, None, "weights_key", silent)
    retrained = measures_of(task)(reference.read_state().weights)
    measured = dataclasses.replace(record.measured, retrained=retrained)
    kept = remembered(measured.before, measured.after, retrained)
    if kept:
        watch.on_warning(kept)
    record = dataclasses.replace(
        record,
        reference=os.path.abspath(reference.path),
        measured=measured,
        damaged=damage(measured.before, measured.after, retrained),
        warnings=[*record.warnings, *([kept] if kept else [])],
    )
    write_record(directory, record)
    save_recovery(directory.curves, directory.read_metrics(), measured)
    return record


def measure_run(run: str | os.PathLike, settings: UnlearnSettings) -> tuple[dict, str]:
    """Return the metrics of a run's current model for the forget set of `settings.forget`, and
    the checksum of its weights."""
    task = task_of(open_source(run), settings)
    return (
        measures_of(task)(task.source.state.weights),
        checksum(task.source.directory.checkpoint),
    )


def measures_of(task: UnlearningTask) -> ForgettingMeasures:
    """Return the metrics function of a task's models."""
    federation, forget_mask = task.source.federation, task.source.forget_mask | task.forgotten
    return ForgettingMeasures(
        OutputsOf(task.source.model),
        federation,
        task.forgotten,
        ~forget_mask,
        task.source.forget_mask,
    )
