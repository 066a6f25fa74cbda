"""`tfunlearn channels`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.core.files import new_file
from tfunlearn.report import save_effects
from tfunlearn.report.summaries import count
from tfunlearn.workflows.channels import ChannelStudy, study_channels, write_effects
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.display import number
from tfunlearn_cli.options import allow_code_option, request_options, request_words


@click.command()
@click.argument("run", metavar="RUN")
@request_options
@click.option(
    "--delta",
    default=0.3,
    show_default=True,
    help="Share of a layer's channels that count as important.",
)
@click.option(
    "--channel",
    default="filter",
    show_default=True,
    help="Parts of a channel: filter, filter+bn.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Layer to measure, may be repeated.  [default: all]",
)
@click.option(
    "--probe",
    default=1000,
    show_default=True,
    help="Maximum number of examples that effects are measured on.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Also measure each layer without its important, random and unimportant channels.",
)
@click.option("--plot", metavar="FILE", help="Plot the effects to a new .png file.")
@click.option("--csv", "table", metavar="FILE", help="Write the effects to a new .csv file.")
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@allow_code_option
def channels(run, malicious, clients, classes, examples, layers, plot, table, **options):
    """Measure the effect of each channel on the forget set.

    The effect of a channel is the accuracy lost when it is removed, measured on training examples
    of the forget set and of the retain set.

    Example: tfunlearn channels runs/digits-lenet5-none-none-seed0 --class 1 --plot effects.png
    """
    console = PlainConsole()
    for field, name, suffix in (("plot", plot, ".png"), ("csv", table, ".csv")):
        if name is not None:
            new_file(field, name, [suffix])
    words = request_words(malicious, clients, classes, examples) or ["malicious"]
    console.print("loading TensorFlow and the run")
    study = study_channels(run, words, layers=layers or None, track=console.track, **options)
    _print_effects(study)
    if study.pruned:
        _print_pruned(study)
    console.print(
        f"probe     {count(study.forget.examples, 'example')} to forget, effects in "
        f"steps of {study.forget.resolution:.3g}; {study.remain.examples} that remain"
    )
    if table:
        write_effects(table, study)
        console.print(f"written   {table}")
    if plot:
        save_effects(plot, study.forget, study.remain, study.chosen)
        console.print(f"written   {plot}")


def _print_effects(study: ChannelStudy) -> None:
    shown = Table(
        "layer",
        "channels",
        "selected",
        "largest effect",
        "mean of selected",
        "the same, remaining",
        box=None,
    )
    for name, effect in study.forget.items():
        selected = study.chosen[name]
        shown.add_row(
            name,
            str(len(effect)),
            str(len(selected)),
            number(effect.max()),
            number(effect[selected].mean()),
            number(study.remain[name][selected].mean()),
        )
    PlainConsole(width=120).print(shown)


def _print_pruned(study: ChannelStudy) -> None:
    shown = Table(
        "pruned layer", "channels", "accuracy, to forget", "accuracy, remaining", box=None
    )
    for line in study.pruned:
        shown.add_row(
            line.layer or "none", line.selection, number(line.forget), number(line.remain)
        )
    PlainConsole(width=120).print(shown)
