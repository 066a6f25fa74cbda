"""`tfunlearn methods`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.conformance.families import FAMILIES, list_installed
from tfunlearn_cli.console import PlainConsole


@click.command()
@click.option(
    "--family", metavar="NAME", help=f"One family: {', '.join(FAMILIES)}.  [default: all]"
)
def methods(family):
    """List the installed methods with their source and paper.

    Your own methods are named in the same places as built-in ones, as package.module:name or
    file.py:name; installed packages add methods by entry points of the group tfunlearn.FAMILY.

    Example: tfunlearn methods --family rule
    """
    table = Table("family", "name", "source", "what it does", "paper", box=None)
    for one in list_installed(family):
        table.add_row(*one)
    PlainConsole(width=200).print(table)
