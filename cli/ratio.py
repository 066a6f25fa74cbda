"""`tfunlearn ratio`."""

from __future__ import annotations

import click
from rich.table import Table

from tfunlearn.core.errors import require
from tfunlearn.core.files import new_file
from tfunlearn.workflows.unlearn.ratio import draw_ratio, study_ratio
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.options import allow_code_option, engine_option, request_options, request_words

SALIENCIES = ("abs_mean_delta", "abs_mean_grad")


@click.command()
@click.argument("run", metavar="RUN")
@request_options
@click.option(
    "--saliency",
    default=SALIENCIES[0],
    show_default=True,
    metavar="NAME",
    help=f"Saliency of a weight: {', '.join(SALIENCIES)}.",
)
@click.option(
    "--include",
    default="kernels+bias",
    show_default=True,
    metavar="NAME",
    help="Weights that may be reset: kernels+bias, trainable.",
)
@click.option(
    "--knee",
    default="auto",
    show_default=True,
    help="Size of change at the knee of the curve; auto: found in the curve.",
)
@click.option("--plot", metavar="FILE", help="Plot the distribution to a new .png file.")
@click.option("--data-dir", metavar="DIR", help="Folder of data sets, if it has moved.")
@engine_option
@allow_code_option
def ratio(run, malicious, clients, classes, examples, saliency, knee, plot, **options):
    """Suggest a ratio for unlearn --method memorization; it is not applied.

    One round of training on the retain set is run and discarded. The suggestion is
    ill-conditioned: the reliable way is to try several ratios and grade them by `evaluate --gme`.

    Example: tfunlearn ratio runs/mine --client 0 --plot ratio.png
    """
    console = PlainConsole()
    require("saliency", saliency, saliency in SALIENCIES, " or ".join(SALIENCIES))
    knee = knee if knee == "auto" else _number(knee)
    if plot is not None:
        new_file("plot", plot, [".png"])
    words = request_words(malicious, clients, classes, examples) or ["malicious"]
    console.print("loading TensorFlow and the run")
    study = study_ratio(
        run,
        words,
        saliency=saliency,
        knee=knee,
        started=lambda: console.print("one round of training on what remains"),
        **options,
    )
    table = Table("rule", "ratio", "cut", "knee", "at percentile", box=None)
    for found in study.suggestions:
        table.add_row(
            found.rule,
            f"{found.ratio:.2f}",
            f"{found.cut:.2e}",
            f"{found.knee:.2e}",
            "-" if found.knee_percentile is None else f"{found.knee_percentile:.1f}",
        )
    console.print(table)
    first = study.suggestions[0]
    console.print(
        f"changes   {len(study.sizes):,} weights, {first.zero_share:.1%} of them did not "
        "move at all and are left out"
    )
    shown = Table(*(f"{p:g} %" for p in first.percentiles), box=None)
    shown.add_row(*(f"{size:.1e}" for size in first.percentiles.values()))
    PlainConsole(width=160).print(shown)
    if plot:
        draw_ratio(plot, study)
        console.print(f"written   {plot}")
    console.print("next      tfunlearn unlearn ... --method memorization --ratio R, for several R")


def _number(text: str) -> float | str:
    """Return a number, or the text unchanged, which is rejected where it is used."""
    try:
        return float(text)
    except ValueError:
        return text
