"""`tfunlearn check`."""

from __future__ import annotations

import click

from tfunlearn.conformance.check import check_named
from tfunlearn.conformance.families import FAMILIES
from tfunlearn_cli.check_aggregator import SettingType, show_findings
from tfunlearn_cli.console import PlainConsole


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--family",
    metavar="NAME",
    help=f"Family of the method: {', '.join(FAMILIES)}.  [default: the one that has the name]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    type=SettingType(),
    metavar="NAME=VALUE",
    help="Setting of the method, may be repeated; VALUE is parsed as JSON, else taken as text.",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    default="data",
    show_default=True,
    help="Folder of data sets; used to check data sets.",
)
def check(name, family, settings, data_dir):
    """Check a method against the contract of its family.

    NAME is a built-in method, or your own method as package.module:name or file.py:name. Of a
    rule, robustness is checked as far as the rule declares it; check-aggregator tests it for every
    rule. The exit code is 1 if a property fails.

    Example: tfunlearn check krum
    """
    console = PlainConsole(width=160)
    console.print(
        f"checking {name} (a rule or an unlearning method takes up to a minute)", markup=False
    )
    console.file.flush()
    found, findings = check_named(name, family=family, settings=dict(settings), data_dir=data_dir)
    show_findings(console, f"{found} {name}", findings)
