"""Report on one or more runs: reads their folders, writes a new one."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

import tfunlearn
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import checksum, first_free, user_path, write_bytes, write_csv
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.methods.method import in_words
from tfunlearn.methods.settings import reference_method
from tfunlearn.report.facts import WORDS, PastVerification, Profile, RunFacts
from tfunlearn.report.page import Page
from tfunlearn.report.sections import Section
from tfunlearn.report.tables import side_by_side
from tfunlearn.runs.detections import known_attackers, read_detections, stored_detection
from tfunlearn.runs.loading import read_run
from tfunlearn.runs.run_directory import RunDirectory, read_record
from tfunlearn.workflows.profile import profile_of
from tfunlearn.workflows.verify.record import FILE, records

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
            profile = profile_of(run, data_dir)
        except UserError as error:
            missing.append(f"Metrics by client and class are unknown: {error}.")
    name, words = path.name or path.resolve().name, ""
    if unlearning is not None:
        try:
            words = in_words(unlearning.method, unlearning.report)
        except UserError as error:  # a user's own method that is not installed
            missing.append(f"The description of the method is unknown: {error}.")
    if unlearning is None:
        own = sums["checkpoint.npz"]
        detections = [one for one in read_detections(directory) if one.checkpoint_sha256 == own]
    else:
        detections = [stored_detection(one) for one in unlearning.detections]
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
        directory.read_names(),
        [one.found for one in detections],
        [one.since for one in detections],
        known_attackers(directory, config, [n for one in detections for n in one.found.rounds]),
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
