"""`tfunlearn evaluate`."""

from __future__ import annotations

import functools
import os

import click
from rich.table import Table

from tfunlearn.core.errors import refuse, require
from tfunlearn.core.files import new_file, user_path
from tfunlearn.evaluation.fairness import KINDS
from tfunlearn.evaluation.memorization import GRADINGS
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.workflows.evaluate.evaluate import evaluate as evaluate_run
from tfunlearn.workflows.evaluate.settings import METRICS, SCORES, GmeSettings
from tfunlearn.workflows.evaluate.study import study_memorization
from tfunlearn.workflows.evaluate.tables import write_groups, write_scores
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.display import COLUMNS, number
from tfunlearn_cli.gme_display import GmeDisplay, draw_groups, peak_in_words
from tfunlearn_cli.options import allow_code_option, request_options, request_words

FILES = {"plot": ".png", "csv": ".csv", "scores_csv": ".csv"}


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--gme",
    is_flag=True,
    help="Grouped Memorization Evaluation: compare unlearned runs with "
    "models retrained without the forget set.",
)
@click.option("--retrains", type=int, help="Number of retrained models, at least 2.  [default: 3]")
@click.option(
    "--grading",
    metavar="NAME",
    help="Which retrained models score and which grade: "
    f"{', '.join(GRADINGS)}.  [default: {GRADINGS[0]}]",
)
@click.option(
    "--scores",
    metavar="NAME",
    help=f"Source of memorization scores: {', '.join(SCORES)}.  [default: retraining]",
)
@click.option(
    "--pool", type=int, help="Number of trainings in the pool, with scores subsets.  [default: 20]"
)
@click.option(
    "--omitted",
    type=int,
    help="Clients left out of each training in the pool.  [default: a quarter]",
)
@click.option(
    "--control/--no-control",
    default=None,
    help="Compare method memorization with a random "
    "reset of the same size, which is run if it does not exist yet.  [default: "
    "control]",
)
@click.option(
    "--fairness",
    metavar="NAME",
    help=f"Deviation for local fairness: {', '.join(KINDS)}.  [default: {KINDS[0]}]",
)
@click.option(
    "--fairness-metric",
    metavar="NAME",
    help=f"Client metric for local fairness: {', '.join(METRICS)}.  [default: {METRICS[0]}]",
)
@functools.partial(request_options, default=False)
@click.option("--plot", metavar="FILE", help="Plot the groups to a new .png file.")
@click.option("--csv", metavar="FILE", help="Write the groups to a new .csv file.")
@click.option(
    "--scores-csv",
    metavar="FILE",
    help="Write every example's score and group to a new .csv file.",
)
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@allow_code_option
def evaluate(
    runs, gme, malicious, clients, classes, examples, plot, csv, scores_csv, data_dir, **settings
):
    """Evaluate a run on its test set, or unlearned runs by groups of memorization (--gme).

    Without --gme: one RUN, with metrics over all test images and per class; for an unlearned run
    also local fairness and time to peak. With --gme: runs unlearned from one run by one request, or
    one trained run and a request; missing retrained models are trained once and stored next to the
    run.

    Example: tfunlearn evaluate runs/mine-memorization runs/mine-not --gme --retrains 3
    """
    words = request_words(malicious, clients, classes, examples)
    given = {name: value for name, value in settings.items() if value is not None}
    files = dict(plot=plot, csv=csv, scores_csv=scores_csv)
    for name, path in files.items():
        if path is not None:
            new_file(name, path, [FILES[name]])
    require(
        "scores_csv",
        scores_csv,
        None in (csv, scores_csv) or not _is_same(csv, scores_csv),
        "another file than csv",
    )
    if gme:
        _evaluate_groups(runs, GmeSettings(**given), words, files, data_dir)
        return
    asked = {
        **{
            name: value
            for name, value in {**given, **files}.items()
            if value is not None and not name.startswith("fairness")
        },
        **({"forget": " ".join(words)} if words else {}),
    }
    for name, value in asked.items():
        refuse(name, value, False, "without --gme")
    require("run", f"{len(runs)} runs", len(runs) == 1, "one run, or several with --gme")
    _evaluate_one(runs[0], GmeSettings(**given), data_dir)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(user_path(one)) == os.path.realpath(user_path(other))


def _evaluate_groups(runs, settings, words, files, data_dir) -> None:
    with GmeDisplay(settings) as display:
        study = study_memorization(runs, settings, forget=words, data_dir=data_dir, watch=display)
    display.finish(study)
    for name, write in (("csv", write_groups), ("scores_csv", write_scores), ("plot", draw_groups)):
        if files[name] is not None:
            write(files[name], study)
            display.console.print(f"written   {files[name]}")


def _evaluate_one(run, settings, data_dir) -> None:
    console = PlainConsole()
    result = evaluate_run(run, data_dir=data_dir, track=console.track, settings=settings)
    if result.method:
        what = f"{result.method}, {result.rounds} rounds after {result.rounds_before}"
    else:
        what = f"{result.rounds} of {result.planned_rounds} rounds"
    if result.failed:
        console.print(f"failed: no unlearned model; {result.failed}", markup=False)
    console.print(f"{run}: {what}", markup=False)
    for name, title in COLUMNS.items():
        console.print(f"{title:<15} {number(result.measured[name])}")
    for title, after in result.local.items():
        console.print(
            f"{title}: local fairness ({settings.fairness} of the clients' changes in "
            f"{settings.fairness_metric}) {after.fairness.value:.4g}" + peak_in_words(after.peak)
        )
    if result.missing:
        console.print(
            f"local fairness and time to peak are unknown for {result.missing}", markup=False
        )
    names = RunDirectory(user_path(run)).read_names()
    table = Table("class", "test examples", "accuracy", box=None)
    for label, (count, share) in enumerate(zip(result.class_counts, result.class_accuracies)):
        table.add_row(names.of_class(label), str(count), number(share))
    console.print(table)
