"""`tfunlearn detect`."""

from __future__ import annotations

import os
import shlex

import click
from rich.table import Table

from tfunlearn.detection import DETECTORS
from tfunlearn.report.detections import basis
from tfunlearn.report.summaries import count
from tfunlearn.workflows.detect import DEFAULT, Graded, RunDetection, detect_run
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.display import given_settings, number
from tfunlearn_cli.options import allow_code_option, field_options

MOST_CLIENTS = 20


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="NAME",
    help=f"Detector, may be repeated: {', '.join(DETECTORS)}; all: those that can work on "
    f"the run.  [default: {', '.join(DEFAULT)}]",
)
@field_options(DETECTORS.built_in_fields())
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@allow_code_option
def detect(run, detectors, data_dir, **settings):
    """Detect malicious clients of a run from the updates that it kept (train --history all).

    Only what the server has is read: updates and global models. The findings are stored with the
    run; `unlearn RUN --detected` forgets the flagged clients. Where the run records who attacked,
    as simulations do, the findings are graded by it afterwards.

    Example: tfunlearn detect runs/mine --detector fldetector
    """
    console = PlainConsole()
    names = list(detectors) or list(DEFAULT)
    everyone = "all" in names
    if everyone:
        names = list(DETECTORS)
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    console.print("reading   the kept rounds")
    found = detect_run(run, names, data_dir=data_dir, skip=everyone, track=console.track, **given)
    show_detection(console, found, run)


def show_detection(console: PlainConsole, found: RunDetection, run: str | os.PathLike) -> None:
    """Print the findings, their grades, and the next command."""
    for one in found.results:
        _show(console, one, found)
    for name, reason in found.skipped.items():
        console.print(f"skipped   {name}: {reason}", markup=False)
    if len(found.results) > 1:
        _compare(found)
    path = shlex.quote(str(run))
    flagging = [one.stored.found.detector for one in found.results if one.stored.found.flagged]
    if flagging:
        named = shlex.quote(flagging[0])
        console.print(
            f"next      tfunlearn unlearn {path} --detected --detector {named}", markup=False
        )


def _show(console: PlainConsole, one: Graded, run: RunDetection) -> None:
    found, name = one.stored.found, run.names.of_client
    rounds = found.rounds
    own = DETECTORS.find(found.detector).settings(**one.stored.settings)
    console.print(
        f"detector  {found.detector}{given_settings(own)}: {count(len(found.ids), 'client')} in "
        f"{count(len(rounds), 'round')}, {rounds[0]} to {rounds[-1]}",
        markup=False,
    )
    table = Table("client", "score", "flagged", "since round", box=None)
    order = sorted(
        range(len(found.ids)),
        key=lambda n: (
            found.ids[n] not in found.flagged,
            found.scores[n] is None,
            -(found.scores[n] or 0),
        ),
    )
    since = dict(zip(found.flagged, one.stored.since))
    for place in order[:MOST_CLIENTS]:
        client, score = found.ids[place], found.scores[place]
        flagged = client in since
        table.add_row(
            name(client), number(score), "yes" if flagged else "", str(since.get(client, ""))
        )
    console.print(table)
    if len(order) > MOST_CLIENTS:
        console.print(f"          {MOST_CLIENTS} of {len(order)}; all are in detections.json")
    flagged = ", ".join(f"'{name(k)}'" for k in found.flagged) or "nobody"
    console.print(f"flagged   {flagged}: {basis(found)}", markup=False)
    for words in found.remarks:
        console.print(f"note      {words}", markup=False)
    if one.grade is not None:
        console.print(f"graded    {_grade_in_words(one)}", markup=False)


def _grade_in_words(one: Graded) -> str:
    grade = one.grade
    assert grade is not None  # the caller has looked
    if grade.recall is None:
        return f"no client attacked; {grade.false_alarms} of {grade.benign} flagged by mistake"
    since = "never all flagged" if one.since is None else f"all flagged since round {one.since}"
    return (
        f"precision {number(grade.precision)}, recall {number(grade.recall)}, F1 "
        f"{number(grade.f1)}, AUC {number(grade.auc)}; {since}; {grade.false_alarms} of "
        f"{grade.benign} benign clients flagged"
    )


def _compare(found: RunDetection) -> None:
    table = Table("detector", "flagged", "precision", "recall", "F1", "AUC", box=None)
    for one in found.results:
        grade = one.grade
        values = (
            ["-"] * 4
            if grade is None
            else [number(v) for v in (grade.precision, grade.recall, grade.f1, grade.auc)]
        )
        table.add_row(one.stored.found.detector, str(len(one.stored.found.flagged)), *values)
    PlainConsole(width=100).print(table)
