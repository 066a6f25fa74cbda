"""`tfunlearn models`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.models import MODELS, build_model, takes_norm
from tfunlearn_cli.console import PlainConsole


@click.command()
def models():
    """List the models, what they take, and their sizes for 10 classes.

    Sizes are for 28x28x1 and 32x32x3 images, or for texts of 64 tokens of 5,000.
    """
    table = Table("model", "takes", "28x28x1", "32x32x3", "norm", box=None)
    console = PlainConsole()
    for name, model in console.track(list(MODELS.items())):
        if model.takes == "tokens":
            (size,) = model.sizes or [build_model(name, (64,), 10, vocabulary=5000).count_params()]
            table.add_row(name, model.takes, f"{size:,} for texts", "", "-")
            continue
        sizes = model.sizes or [
            build_model(name, shape, 10).count_params() for shape in ((28, 28, 1), (32, 32, 3))
        ]
        table.add_row(
            name,
            model.takes or "",
            *(f"{size:,}" for size in sizes),
            "batch, group" if takes_norm(name) else "-",
        )
    table.add_row("PATH.keras", "", "", "", "your own model")
    console.print(table)
