"""Figure of suggested pruning ratios: magnitudes of weight changes by percentile."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tfunlearn.report.figures import empty_figure, save_figure


def save_ratio(
    path: str | os.PathLike,
    sizes: np.ndarray,
    suggestions: Sequence,
) -> None:
    """Draw the magnitudes of weight changes (log scale) over their percentiles.

    The cut of each suggestion, and the knee of the first one, are marked.

    Args:
        path: the PNG file.
        sizes: nonzero magnitudes of weight changes, `(n,)`.
        suggestions: `RatioSuggestion`s.
    """
    figure = empty_figure(7, 4.2)
    axes, percentiles = figure.subplots(), np.linspace(0, 100, 1001)
    axes.plot(percentiles, np.percentile(sizes, percentiles), "k-", lw=1.2)
    for number, found in enumerate(suggestions):
        axes.axhline(
            found.cut,
            color=f"C{number}",
            lw=1,
            ls="--",
            label=f"{found.rule}: cut {found.cut:.1e}, ratio {found.ratio:.2f}",
        )
        axes.axvline(100 * found.ratio, color=f"C{number}", lw=0.6, ls=":")
    if suggestions and suggestions[0].knee_percentile is not None:
        axes.plot(
            suggestions[0].knee_percentile,
            suggestions[0].knee,
            "ro",
            ms=5,
            label=f"knee {suggestions[0].knee:.1e}",
        )
    axes.set_yscale("log")
    axes.set(
        xlabel="percentile of the changes that are not zero", ylabel="size of change", xlim=(0, 100)
    )
    axes.legend(frameon=False, fontsize="small")
    save_figure(figure, path)
