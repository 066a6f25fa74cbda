"""`tfunlearn report`."""

from __future__ import annotations

import os

import click

from tfunlearn.workflows.report import report as write_report
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.options import allow_code_option


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", help="New folder.  [default: <first RUN>-report]")
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@allow_code_option
def report(runs, out, data_dir):
    """Write a one-page report of one or several runs: request, method, evidence.

    The page works offline, in print, on a phone and with a screen reader; PNG and CSV files of all
    its figures and tables are next to it. Verify unlearned runs first: without a verification there
    is no evidence. Of several verifications the last is shown, and all are listed.

    Example: tfunlearn report runs/mine-fedup runs/mine-not
    """
    console = PlainConsole()
    folder = write_report(runs, out=out, data_dir=data_dir, track=console.track)
    console.print(
        f"written   {os.path.relpath(folder)}/report.html, with PNG and CSV files of "
        "everything next to it",
        markup=False,
    )
