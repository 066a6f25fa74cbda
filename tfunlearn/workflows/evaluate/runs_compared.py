"""Runs to compare, unlearned from one source run with one request."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tfunlearn.core.errors import UserError, refuse, require
from tfunlearn.core.files import checksum, user_path
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.methods.settings import UnlearnSettings, reference_method
from tfunlearn.methods.source import open_source, require_not_failed
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.loading import read_run
from tfunlearn.runs.run_directory import RunDirectory, read_record
from tfunlearn.workflows.unlearn.workflow import task_of


@dataclass(frozen=True)
class Unlearned:
    """One run created by `unlearn`, including retrained models.

    Attributes:
        directory: the run directory.
        record: content of the run's `unlearning.json`.
        weights: weights of the final model.
    """

    directory: RunDirectory
    record: UnlearningRecord
    weights: list[np.ndarray]


@dataclass(frozen=True)
class ComparedRuns:
    """Runs to compare.

    Attributes:
        task: the request for the source run, with the method retrain.
        methods: label to unlearned runs, which differ in their seeds only; empty if only the
            source run and retraining are compared.
    """

    task: UnlearningTask
    methods: dict[str, list[Unlearned]]


def open_compared_runs(
    runs: Sequence[str | os.PathLike], words: Iterable[str] = (), data_dir: str | None = None
) -> ComparedRuns:
    """Read runs that were unlearned from the same source run, or one trained run and a request.

    Args:
        runs: run directories.
        words: the request, required for a trained run and not allowed for unlearned runs.
        data_dir: directory of the data set; default that of the runs' configuration.

    Raises:
        UserError: no run, a duplicate or damaged run, a missing or unexpected request, or runs of
            different architectures, sources or requests.
    """
    require("run", list(runs), len(runs) > 0, "at least one run")
    opened, seen, words = [], set(), list(words)
    for run in runs:
        path = os.path.realpath(user_path(run))
        require("run", str(run), path not in seen, "given once")
        seen.add(path)
        directory, _, state = read_run(run, data_dir)
        opened.append(
            Unlearned(directory, cast(UnlearningRecord, read_record(directory)), state.weights)
        )
        require_not_failed(directory, opened[-1].record)
        key = opened[-1].record.key if opened[-1].record else None
        require(
            "run",
            str(run),
            key is None or key not in seen,
            "given once; this is a copy of another one",
        )
        seen.add(key)
        _check_architecture(opened[0], opened[-1])
    first = opened[0]
    if first.record is None:
        require(
            "run",
            f"{len(runs)} runs",
            len(runs) == 1,
            "one trained run, or unlearned runs only; the first one here is a trained run",
        )
        require(
            "forget",
            words,
            bool(words),
            "a request, such as --client 0, since the run is a trained one",
        )
        return ComparedRuns(_task(runs[0], words, data_dir), {})
    for other in opened:
        _check_belongs(first, other)
    refuse(
        "forget",
        " ".join(words)[:80],
        not words,
        "with unlearned runs, whose request is stored with them",
    )
    return ComparedRuns(
        _task(source_of(first), first.record.requests[-1], data_dir), _by_method(opened)
    )


def source_of(run: Unlearned) -> str:
    """Return the path of the source run of an unlearned run.

    Raises:
        UserError: the source run no longer exists, or its checkpoint was changed.
    """
    path = run.record.source
    try:
        same = checksum(RunDirectory(pathlib.Path(path)).checkpoint) == (
            run.record.source_checkpoint_sha256
        )
    except OSError:
        same = False
    if not same:
        raise UserError(
            f"run: {path}, which {run.directory.path} was unlearned from, is gone or was changed"
        )
    return path


def _task(run: str | os.PathLike, words: Sequence[str], data_dir: str | None) -> UnlearningTask:
    return task_of(
        open_source(run, data_dir),
        UnlearnSettings(reference_method(), tuple(words), reference=False),
    )


def _check_architecture(first: Unlearned, other: Unlearned) -> None:
    shapes = [[weight.shape for weight in run.weights] for run in (first, other)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"run: must all have one architecture; got {other.directory.path} with "
            f"{_sizes(other)}, {first.directory.path} with {_sizes(first)}"
        )


def _sizes(run: Unlearned) -> str:
    return f"{sum(weight.size for weight in run.weights):,} weights"


def _check_belongs(first: Unlearned, other: Unlearned) -> None:
    if other.record is None:
        raise UserError(
            f"run: must all be unlearned from one run, as {first.directory.path}; got "
            f"{other.directory.path}, which is a trained run"
        )
    for field, what in (
        ("source_checkpoint_sha256", "was unlearned from another run"),
        ("requests", "has forgotten something else"),
    ):
        if getattr(other.record, field) != getattr(first.record, field):
            raise UserError(
                "run: must all have one source and one request; "
                f"{other.directory.path} {what} than {first.directory.path}"
            )


def _by_method(runs: Sequence[Unlearned]) -> dict[str, list[Unlearned]]:
    """Return label to runs; a label is the method and the settings in which its runs differ."""
    found = collections.defaultdict(list)
    settings = collections.defaultdict(list)
    for run in runs:
        settings[run.record.method].append(run.record.settings)
    for run in runs:
        same = settings[run.record.method]
        own = run.record.settings
        differ = [name for name in own if any(other.get(name) != own[name] for other in same)]
        label = " ".join([run.record.method, *(f"{name}={own[name]}" for name in differ)])
        found[label].append(run)
    return dict(found)
