"""`tfunlearn prune`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.experiment.prune import prune as prune_file
from tfunlearn_cli.console import PlainConsole


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("-o", "--out", required=True, metavar="FILE",
              help="File to write, .keras or .h5; must be new.")
@click.option("--filters", default=0.01, show_default=True,
              help="Share of each convolution's filters; 0 for none.")
@click.option("--pairs", default=0.01, show_default=True,
              help="Share of each Dense layer's units; 0 for none.")
@click.option("--repeat", default=1, show_default=True, help="How many times.")
@click.option("--score", default="impact", show_default=True,
              help="What pairs are chosen by: impact, saliency.")
@click.option("--compat", help="flap: choose pairs as the published code does.")
@click.option("--input-range", nargs=2, type=float, default=(0.0, 1.0), show_default=True,
              help="Lowest and highest value of an input.")
@click.option("--include-residual/--no-include-residual", default=True, show_default=True,
              help="Prune convolutions inside residual blocks.")
@click.option("--layer", "layers", multiple=True, metavar="NAME",
              help="A layer to prune, several times for several.  [default: all]")
@click.option("--dataset", help="Measure accuracy on its test images, before and after.")
@click.option("--data-dir", default="data", show_default=True, help="Folder of data sets.")
def prune(model, layers, **options):
    """Prune a Keras model: MODEL is a .keras or .h5 file, or a SavedModel folder.

    The impact bound says how far any output can move, for any input in the range, on account of
    that layer; a softmax at the end is left out.

    Example: tfunlearn prune model.keras -o pruned.keras --filters 0.01 --pairs 0.01
    """
    console = PlainConsole()
    result = prune_file(model, layers=layers or None, track=console.track, **options)
    table = Table("layer", "kind", "units", "pruned", "impact bound", "", box=None)
    for row in result.layers:
        bound = "-" if row.bound is None else f"{row.bound:.4g}"
        table.add_row(row.layer, row.kind, str(row.units), str(len(row.pruned)), bound,
                      row.skipped or "")
    console.print(table)
    if result.unbounded:
        console.print(f"bounds    none: {result.unbounded}", markup=False)
    if result.accuracy_before is not None:
        console.print(f"accuracy  {result.accuracy_before:.4f} before, "
                      f"{result.accuracy_after:.4f} after")
    console.print(f"written   {result.path}", markup=False)
