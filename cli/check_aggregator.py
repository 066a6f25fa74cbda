"""`tfunlearn check-aggregator`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.table import Table

from tfunlearn.conformance.check_aggregator import check
from tfunlearn.conformance.finding import Finding
from tfunlearn.engines import tff_is_usable
from tfunlearn_cli.console import PlainConsole


class SettingType(click.ParamType):
    """A word NAME=VALUE; the value is parsed as JSON, else taken as text."""

    name = "NAME=VALUE"

    def convert(self, value, param, ctx):
        name, sign, text = value.partition("=")
        if not sign or not name.isidentifier():
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


@click.command("check-aggregator")
@click.argument("name", metavar="NAME")
@click.option(
    "--like",
    metavar="RULE",
    help="Built-in rule whose promises and definition it must "
    "fulfill, with that rule's defaults.  [default: robust, no definition]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    type=SettingType(),
    metavar="NAME=VALUE",
    help="Keyword argument, may be repeated; VALUE is parsed as JSON, else taken as text.",
)
def check_aggregator(name, like, settings):
    """Run the conformance suite on an aggregation rule.

    NAME is a built-in rule, or a third-party module:function (or module:Class). The exit code is
    1 if a property fails.

    Example: tfunlearn check-aggregator numpy:median --set axis=0
    """
    console = PlainConsole(width=160)
    console.print(
        f"checking {name}"
        + (", also inside TFF (about 15 s)" if tff_is_usable() and ":" not in name else "")
    )
    console.file.flush()
    findings = check(name, like=like, settings=dict(settings))
    show_findings(console, name, findings)


def show_findings(console: PlainConsole, name: str, findings: Sequence[Finding]) -> None:
    """Print a table of findings; exit with code 1 if a property fails."""
    table = Table("property", "", "what was seen", box=None)
    for finding in findings:
        word = {True: "ok", False: "FAILED", None: "-"}[finding.passed]
        table.add_row(finding.name, word, finding.detail)
    console.print(table)
    failed = sum(finding.passed is False for finding in findings)
    console.print(
        f"{name}: {failed} of {len(findings)} properties fail"
        if failed
        else f"{name}: every property holds",
        markup=False,
    )
    if failed:
        raise click.exceptions.Exit(1)
