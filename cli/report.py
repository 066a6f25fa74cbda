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
    """Write one page that tells what was asked, done and proven, of one run or several.

    It opens without a network, prints, and reads on a phone and by a screen reader; PNG and CSV
    files of everything lie beside it. Verify unlearned runs first: without that there is no
    evidence. Of several verifications the last is shown, and all are listed.

    Example: tfunlearn report runs/mine-fedup runs/mine-not
    """
    console = PlainConsole()
    folder = write_report(runs, out=out, data_dir=data_dir, track=console.track)
    console.print(
        f"written   {os.path.relpath(folder)}/report.html, with PNG and CSV files of "
        "everything beside it",
        markup=False,
    )
