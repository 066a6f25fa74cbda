"""`tfunlearn evaluate`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.experiment.evaluate import evaluate as evaluate_run
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.display import COLUMNS, number


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
def evaluate(run, data_dir):
    """Measure the model of a run on its test set, over all and per class."""
    console = PlainConsole()
    result = evaluate_run(run, data_dir=data_dir, track=console.track)
    if result.method:
        what = f"{result.method}, {result.rounds} rounds after {result.rounds_before}"
    else:
        what = f"{result.rounds} of {result.planned_rounds} rounds"
    console.print(f"{run}: {what}", markup=False)
    for name, title in COLUMNS.items():
        console.print(f"{title:<15} {number(result.measured[name])}")
    table = Table("class", "test images", "accuracy", box=None)
    for label, (count, share) in enumerate(zip(result.class_counts, result.class_accuracies)):
        table.add_row(str(label), str(count), number(share))
    console.print(table)
