"""Report on one or more runs: reads their folders, writes a new one."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

import tfunlearn
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import checksum, first_free, user_path, write_bytes, write_csv
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.core.verification_record import (
    ClassMetrics,
    ClientMetrics,
    Comparison,
    ConfusionMatrices,
)
from tfunlearn.evaluation import OutputsOf, cross_entropies
from tfunlearn.methods.method import in_words
from tfunlearn.methods.settings import reference_method
from tfunlearn.models.outputs import ends_in_softmax
from tfunlearn.report.facts import WORDS, PastVerification, Profile, RunFacts
from tfunlearn.report.page import Page
from tfunlearn.report.sections import Section
from tfunlearn.report.tables import side_by_side
from tfunlearn.runs.loading import open_run, read_run
from tfunlearn.runs.run_directory import RunDirectory, read_record, unlearning_record
from tfunlearn.training.federation import Federation
from tfunlearn.workflows.verify import behaviour
from tfunlearn.workflows.verify.predictions import Sets
from tfunlearn.workflows.verify.record import FILE, records
from tfunlearn.workflows.verify.target import open_target

CHECKED = (
    "config.json",
    "metrics.jsonl",
    "partition.npz",
    "checkpoint.npz",
    "model.keras",
    "unlearning.json",
    "request.json",
)


def report(
    runs: Sequence[str | os.PathLike],
    *,
    out: str | os.PathLike | None = None,
    data_dir: str | None = None,
    track: Callable[[Sequence], Iterable] = iter,
) -> pathlib.Path:
    """Write a report: a self-contained `report.html`, and all its contents as PNG and CSV files.

    Args:
        runs: run directories, of `train` or of `unlearn`, verified or not.
        out: the new folder; default `<first run>-report`, numbered if that exists.
        data_dir: folder of the data sets; default the one in the runs' configuration.
        track: wraps the runs, to show progress.

    Returns:
        The folder.

    Raises:
        UserError: there is no run, a run is damaged, or `out` is in use.
    """
    require("run", list(runs), len(runs) > 0, "at least one run")
    facts = _told_apart([facts_of(run, data_dir) for run in track(list(runs))])
    title = facts[0].name if len(facts) == 1 else f"{len(facts)} runs"
    with _new_folder(out, pathlib.Path(os.path.abspath(user_path(runs[0])))) as (folder, target):
        page = Page(
            f"Report on {title}",
            f"Written {datetime.date.today().isoformat()} by tfunlearn "
            f"{tfunlearn.__version__}. All figures and tables are also stored next to this page, "
            "as PNG and CSV files. The checksums below identify the files that were measured.",
        )
        if len(facts) > 1:
            head, rows = side_by_side(facts)
            page.heading(2, "Side by side")
            page.table("The runs side by side", head, rows)
            write_csv(folder / "side_by_side.csv", head, rows)
        for number, one in enumerate(facts, start=1):
            Section(page, folder, number, one).write()
        write_bytes(folder / "report.html", page.text().encode())
    return target


def _told_apart(facts: list[RunFacts]) -> list[RunFacts]:
    """Return the facts with runs of equal names renamed to their paths."""
    names = [one.name for one in facts]
    return [
        dataclasses.replace(one, name=os.path.relpath(one.path))
        if names.count(one.name) > 1
        else one
        for one in facts
    ]


def facts_of(run: str | os.PathLike, data_dir: str | None = None) -> RunFacts:
    """Return the report's facts on a run.

    Raises:
        UserError: there is no run, or a file is damaged.
    """
    directory, config, state = read_run(run, data_dir, reading=True)
    path, lines, unlearning = directory.path, directory.read_metrics(), read_record(directory)
    missing, trained, record, profile = [], [], None, Profile()
    sums = {name: checksum(path / name) for name in CHECKED if (path / name).is_file()}
    earlier = []
    for folder, found in records(directory):
        if found.run_checkpoint_sha256 == sums["checkpoint.npz"]:
            record = found
            sums[f"{folder.name}/{FILE}"] = checksum(folder / FILE)
            earlier.append(
                PastVerification(
                    folder.name, WORDS[found.verdict.word], len(found.retrained), found.settings
                )
            )
    if unlearning is not None:
        trained, missing = _training(unlearning)
    if record is not None:
        profile = Profile(record.classes, record.clients, record.confusion, record.groups)
    else:
        try:
            profile = (
                _trained_profile(run, data_dir)
                if unlearning is None
                else _unlearned_profile(run, data_dir)
            )
        except UserError as error:
            missing.append(f"Metrics by client and class are unknown: {error}.")
    name, words = path.name or path.resolve().name, ""
    if unlearning is not None:
        try:
            words = in_words(unlearning.method, unlearning.report)
        except UserError as error:  # a user's own method that is not installed
            missing.append(f"The description of the method is unknown: {error}.")
    return RunFacts(
        name,
        os.path.abspath(user_path(path)),
        config.flat(),
        lines,
        sum(weight.size for weight in state.weights),
        sums,
        unlearning,
        trained,
        record,
        earlier,
        profile,
        missing,
        words,
        unlearning is not None and unlearning.method == reference_method(),
    )


def _training(unlearning: UnlearningRecord) -> tuple[list[dict], list[str]]:
    """Return the metrics of the training that a run was unlearned from, and missing parts."""
    source = RunDirectory(pathlib.Path(unlearning.source))
    try:
        same = checksum(source.checkpoint) == unlearning.source_checkpoint_sha256
        earlier = read_record(source)
        if same:
            return (source.read_metrics(), []) if earlier is None else _training(earlier)
    except (OSError, UserError):
        pass
    return [], [
        f"The source run {source.path} is missing or was changed; its training is not shown."
    ]


def _trained_profile(run: str | os.PathLike, data_dir: str | None) -> Profile:
    """Return accuracy and loss by class and client, and the confusion, of a trained model."""
    _, config, _, model = open_run(run, data_dir, reading=True)
    federation, outputs_of = Federation.of(config), OutputsOf(model)
    data, held, from_logits = federation.data, federation.clients, not ends_in_softmax(model)

    def of(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = outputs_of(images)
        return outputs.argmax(axis=1), cross_entropies(outputs, labels, from_logits=from_logits)

    def values(hits: np.ndarray, losses: np.ndarray) -> tuple[Comparison, Comparison]:
        accuracy, loss = (
            Comparison(None, float(values.mean()), retrained=[]) for values in (hits, losses)
        )
        return accuracy, loss

    predicted, losses = of(data.test_images, data.test_labels)
    confusion = np.zeros((data.classes, data.classes), int)
    np.add.at(confusion, (data.test_labels, predicted), 1)
    classes = [
        ClassMetrics(label, int(rows.sum()), *values(predicted[rows] == label, losses[rows]))
        for label in range(data.classes)
        if (rows := data.test_labels == label).any()
    ]
    own, own_losses = of(held.images, held.labels)
    hits = own == held.labels
    clients = [
        ClientMetrics(
            int(k),
            "training",
            int(held.sizes[k]),
            *values(hits[held.rows(k)], own_losses[held.rows(k)]),
        )
        for k in held.present
    ]
    return Profile(classes, clients, ConfusionMatrices(None, confusion.tolist(), retrained=[]))


def _unlearned_profile(run: str | os.PathLike, data_dir: str | None) -> Profile:
    """Return the same for the models before, after and (if any) retrained."""
    unlearning = unlearning_record(RunDirectory(user_path(run)))
    if unlearning.method == reference_method():
        raise UserError("this is a retrained run; see the reports of the runs compared with it")
    reference = [unlearning.reference] if unlearning.reference else []
    subject = open_target(run, reference, data_dir)
    sets = Sets(subject.task, 0)
    before, after, *retrained = [
        sets.view(weights)
        for weights in (
            subject.before,
            subject.unlearned.weights,
            *(one.weights for one in subject.retrained),
        )
    ]
    return Profile(
        behaviour.by_class(sets, before, after, retrained),
        behaviour.by_client(sets, before, after, retrained),
        behaviour.confusion(before, after, retrained),
    )


@contextlib.contextmanager
def _new_folder(
    out: str | os.PathLike | None, run: pathlib.Path
) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Yield a hidden folder and its target name, which it takes if the block succeeds."""
    if out is None:
        target = first_free(run.with_name(f"{run.name}-report"), os.path.lexists, folder=True)
    else:
        require(
            "out", str(out), str(out) != "" and not os.path.lexists(user_path(out)), "a new folder"
        )
        target = pathlib.Path(os.path.abspath(user_path(out)))
        require("out", str(out), run not in target.parents, "a folder outside the run")
    folder = target.with_name(f".{target.name[:100]}.{os.getpid()}")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"out: {target} cannot be written ({error.strerror})")
    try:
        yield folder, target
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
