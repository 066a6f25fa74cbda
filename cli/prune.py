"""`tfunlearn prune`."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from tfunlearn.workflows.prune import PrunedLayer
from tfunlearn.workflows.prune import prune as prune_file
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.options import allow_code_option


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="FILE",
    help="File to write, .keras or .h5; must be new. Optimizer state is not kept.",
)
@click.option(
    "--filters",
    default=0.01,
    show_default=True,
    help="Share of each convolution's filters to prune, at least one filter; 0 for none.",
)
@click.option(
    "--pairs",
    default=0.01,
    show_default=True,
    help="Share of each Dense layer's units to prune, at least one, at most half; 0 for none.",
)
@click.option("--repeat", default=1, show_default=True, help="Number of times to prune.")
@click.option(
    "--score",
    default="impact",
    show_default=True,
    help="Score that pairs are chosen by: impact, saliency.",
)
@click.option("--compat", help="flap: choose pairs as the published code does.")
@click.option(
    "--input-range",
    nargs=2,
    type=float,
    default=(0.0, 1.0),
    show_default=True,
    help="Lowest and highest value of an input.",
)
@click.option(
    "--include-residual/--no-include-residual",
    default=True,
    show_default=True,
    help="Prune convolutions inside residual blocks.",
)
@click.option(
    "--exclude-zeroed/--no-exclude-zeroed",
    default=True,
    show_default=True,
    help="Skip filters that are zero already, so that every repetition prunes others; "
    "if off, zero filters stay in the ranking, where they come first.",
)
@click.option(
    "--limit",
    type=float,
    help="Maximum share of a layer's filters or units pruned by all repetitions "
    "together.  [default: 0.2, or --filters or --pairs if larger]",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Layer to prune, may be repeated.  [default: all]",
)
@click.option(
    "--bounds",
    is_flag=True,
    help="Compute each layer's impact bound, an upper bound on the change of any "
    "output due to pruning the layer, for any input in the range; a final softmax is left "
    "out. Slow, and looser the deeper the model.",
)
@click.option(
    "--dataset", help="Measure accuracy on this data set's test images, scaled to the input range."
)
@click.option("--data-dir", default="data", show_default=True, help="Folder of data sets.")
@allow_code_option
def prune(model, layers, **options):
    """Prune a Keras model in a file.

    MODEL is a .keras or .h5 file, or a SavedModel folder. Files of Keras 2.13 to 2.15, tf_keras and
    Keras 3 can be read with any of these installed. Nested models are pruned too; their layers are
    named base/layer.

    Example: tfunlearn prune model.keras -o pruned.keras --filters 0.01 --pairs 0.01
    """
    console = PlainConsole()
    if console.is_terminal:
        console.print("loading TensorFlow and the model")
    result = prune_file(model, layers=layers or None, track=console.track, **options)
    bounds = options["bounds"] and not result.unbounded
    rows = [_row(layer, bounds, options["score"]) for layer in result.layers]
    width = 60 + sum(max(len(row[place]) for row in rows) for place in (0, -1))
    _print_table(PlainConsole(width=width), rows, bounds)
    if not any(layer.pruned for layer in result.layers):
        console.print("pruned    nothing: no filter and no pair of units is left to go")
    stopped = [layer.layer for layer in result.layers if layer.spared]
    if stopped:
        console.print(
            f"limit     {', '.join(stopped)} may lose no more; --limit raises that", markup=False
        )
    if result.unbounded:
        console.print(f"bounds    none: {result.unbounded}", markup=False)
    if result.accuracy_before is not None:
        console.print(
            f"accuracy  {result.accuracy_before:.4f} before, {result.accuracy_after:.4f} after"
        )
    console.print(f"written   {result.path}", markup=False)


def _row(layer: PrunedLayer, bounds: bool, score: str) -> list[str]:
    bound = "-" if layer.bound is None else f"{layer.bound:.4g}"
    chosen = f"chosen by {layer.score}" if layer.score not in (None, score) else ""
    return [
        layer.layer,
        layer.kind,
        str(layer.units),
        str(len(layer.pruned)),
        *([bound] if bounds else []),
        layer.skipped or chosen,
    ]


def _print_table(console: PlainConsole, rows: list[list[str]], bounds: bool) -> None:
    table = Table(
        "layer", "kind", "units", "pruned", *(["impact bound"] if bounds else []), "", box=None
    )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
