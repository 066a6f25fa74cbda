"""Figure of a Grouped Memorization Evaluation: bars for each method in each group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.report.figures import empty_figure, save_figure


def save_groups(
    path: str | os.PathLike,
    means: Mapping[str, Sequence[float]],
    spreads: Mapping[str, Sequence[float]],
    groups: Sequence[str],
    *,
    title: str = "",
) -> None:
    """Draw accuracies as bars, one cluster per group; retraining, the reference, is black.

    Args:
        path: the PNG file.
        means: row to accuracy in each group, `(groups,)`.
        spreads: row to standard deviation, of the same shape; drawn as error bars.
        groups: names of the groups.
        title: heading; default none.
    """
    figure = empty_figure(max(7.0, 5 + 0.16 * len(means) * len(groups)), 4.2)
    axes, places, width = figure.subplots(), np.arange(len(groups)), 0.84 / len(means)
    others = [name for name in means if name not in ("retrained", "original")]
    for number, (name, values) in enumerate(means.items()):
        color = {"retrained": "black", "original": "0.75"}.get(name) or (
            f"C{others.index(name) % 10}"
        )
        axes.bar(
            places + (number - (len(means) - 1) / 2) * width,
            values,
            width,
            label=name,
            yerr=spreads[name],
            color=color,
            error_kw=dict(lw=0.8, ecolor="0.4"),
            hatch="//"
            if name not in ("retrained", "original") and others.index(name) >= 10
            else None,
        )
    axes.set_xticks(places, [f"{name} %" if name != "all" else "all" for name in groups])
    axes.set(
        xlabel="percentile of the memorization score",
        ylabel="accuracy on the forget set",
        ylim=(0, 1.02),
        title=title,
    )
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)
