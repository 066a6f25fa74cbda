"""`tfunlearn models`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.models import MODELS, build_model, takes_norm
from tfunlearn_cli.console import PlainConsole


@click.command()
def models():
    """List the models with their sizes for 28x28x1 and 32x32x3 images, 10 classes."""
    table = Table("model", "28x28x1", "32x32x3", "norm", box=None)
    console = PlainConsole()
    for name, model in console.track(list(MODELS.items())):
        sizes = model.sizes or [
            build_model(name, shape, 10).count_params() for shape in ((28, 28, 1), (32, 32, 3))
        ]
        table.add_row(
            name,
            *(f"{size:,}" for size in sizes),
            "batch, group" if takes_norm(name) else "-",
        )
    table.add_row("PATH.keras", "", "", "your own model")
    console.print(table)
