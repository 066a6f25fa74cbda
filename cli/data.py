"""`tfunlearn data`."""

from __future__ import annotations

import pathlib

import click
from rich.table import Table

from tfunlearn.config.reading import run_config
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.families import file_name
from tfunlearn.core.files import first_free, user_path
from tfunlearn.datasets import DATASETS
from tfunlearn.datasets.sources import SOURCES
from tfunlearn.report import save_histogram
from tfunlearn.training.federation import Federation
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.method_options import Choice, MethodCommand
from tfunlearn_cli.options import config_options, merged

FIELDS = (
    "dataset",
    "data_dir",
    "train_examples",
    "clients",
    "partition",
    "alpha",
    "classes_per_client",
    "quantity_sigma",
    "feature_skew",
    "min_examples",
    "redraws",
    "seed",
)


@click.command(
    cls=MethodCommand,
    choices={"dataset": Choice(DATASETS, listed=False)},
    section="train",
)
@config_options(FIELDS)
@click.option(
    "--show", is_flag=True, help="Show each client's class counts, as a table and as a PNG file."
)
@click.option(
    "--png",
    metavar="FILE",
    help="PNG file that --show writes.  [default: "
    "partition-<data>-<partition>.png, numbered if it exists]",
)
def data(config, show, png, **flags):
    """List data sets, or show how one is partitioned over clients.

    Example: tfunlearn data --dataset digits --partition dirichlet --alpha 0.3 --show
    Your own: tfunlearn data --dataset patients.csv --label-column outcome --show
    """
    given = merged(config, flags)
    if show:
        _show(run_config(**given), png)
    else:
        require(
            "show", False, not given and png is None, "on (--show) where other options are given"
        )
        _list()


def _list() -> None:
    table = Table("data set", "what", box=None)
    for name, one in DATASETS.items():
        table.add_row(name, one.summary + (f" ({one.paper})" if one.paper else ""))
    for source in SOURCES:
        table.add_row(source.what, source.summary)
    console = PlainConsole()
    console.print(table)
    console.print(
        "digits, breast-cancer and wine are embedded; the other names are looked up in --data-dir, "
        "or downloaded there"
    )


def _picture(settings, png: str | None) -> pathlib.Path:
    """Return the path of the picture; a given file must be new."""
    if png is None:
        name = (
            f"partition-{file_name(settings.data.dataset)}-{file_name(settings.data.partition)}.png"
        )
        return first_free(pathlib.Path(name), pathlib.Path.exists)
    path = user_path(png)
    require("png", png, path.suffix == ".png", "a file name that ends in .png")
    require("png", png, path.parent.is_dir(), "a file in a folder that exists")
    require("png", png, not path.exists(), "a new file; this one exists")
    return path


def _show(settings, png: str | None) -> None:
    path = _picture(settings, png)
    federation = Federation.of(settings)
    histogram = federation.clients.class_histogram(federation.data.classes)
    classes = histogram.shape[1]
    names = federation.names
    titles = [names.of_class(label) for label in range(classes)]
    table = Table("client", "examples", *titles, box=None)
    for client, counts in enumerate(histogram):
        table.add_row(names.of_client(client), str(counts.sum()), *map(str, counts))
    table.add_row("all", str(histogram.sum()), *map(str, histogram.sum(axis=0)))
    try:
        save_histogram(path, histogram, names)
    except OSError as error:
        raise UserError(f"png: {path} cannot be written ({error.strerror})")
    console = PlainConsole(width=30 + 8 * classes)
    console.print(table)
    console.print(f"picture   {path}", markup=False)
