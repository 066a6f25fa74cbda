"""Figure of channel effects on the forget set and the retain set, one panel per layer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.report.figures import empty_figure, save_figure

COLUMNS = 4  # panels side by side


def save_effects(
    path: str | os.PathLike,
    forget: Mapping[str, np.ndarray],
    remain: Mapping[str, np.ndarray],
    chosen: Mapping[str, np.ndarray | Sequence[int]],
) -> None:
    """Draw the effect of every channel on the forget set and on the retain set.

    Args:
        path: the PNG file.
        forget: layer name to effects on the forget set, `(channels,)`.
        remain: layer name to effects on the retain set, `(channels,)`.
        chosen: layer name to the selected channels, which are marked.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation", Figure 6.
    """
    columns = min(COLUMNS, len(forget))
    rows = -(-len(forget) // columns)
    figure = empty_figure(4.2 * columns, 2.4 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (layer, effect) in zip(panels, forget.items()):
        places = np.arange(len(effect))
        axes.plot(places, remain[layer], "C0-", lw=1, label="remaining data")
        axes.plot(places, effect, "C1-", lw=1, label="data to forget")
        selected = np.sort(np.asarray(chosen[layer], int))
        axes.plot(selected, np.asarray(effect)[selected], "C3.", ms=4, label="selected")
        axes.set_title(layer, fontsize="small")
        axes.axhline(0, color="0.8", lw=0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in panels[len(forget) :]:
        axes.set_axis_off()
    figure.supxlabel("channel", fontsize="small")
    figure.supylabel("effect: loss of accuracy without it", fontsize="small")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small"
    )
    save_figure(figure, path)
