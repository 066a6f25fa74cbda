"""Figures of a verification: ROC curves, clients, confusion, relearning, inverted images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.core.names import Names
from tfunlearn.core.verification_record import ClientMetrics, Inversion, Relearning, RocRecord
from tfunlearn.report.figures import empty_figure, new_figure, save_figure, simplify_log_ticks

COLORS = {"before": "0.6", "after": "C1", "retrained": "black"}


def save_roc(path: str | os.PathLike, curves: Mapping[str, Mapping[str, RocRecord]]) -> None:
    """Draw ROC curves on logarithmic axes, one panel per attack.

    Args:
        path: the PNG file.
        curves: attack to model (`before`, `after`, `retrained 1`, ...) to its ROC.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = empty_figure(3.8 * columns, 3.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(curves) :]:
        axes.remove()
    for axes, (attack, models) in zip(panels, curves.items()):
        lowest = min(roc.resolution for roc in models.values())
        for name, roc in models.items():
            color = COLORS.get(name.split()[0], "C0")
            axes.plot(
                np.maximum(roc.fpr, lowest / 2),
                np.maximum(roc.tpr, lowest / 2),
                color=color,
                lw=0.8 if name.startswith("retrained") else 1.8,
                label=f"{name}: AUC {roc.auc:.3f}",
            )
        axes.plot([lowest / 2, 1], [lowest / 2, 1], color="0.7", ls=":", lw=1)
        axes.axvline(lowest, color="0.7", lw=0.8)
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(lowest / 2, 1),
            ylim=(lowest / 2, 1.05),
            xlabel="false-positive rate",
            ylabel="true-positive rate",
            title=attack,
        )
        if lowest < 0.2:
            simplify_log_ticks(axes)
        legend = axes.legend(fontsize="x-small", frameon=False, loc="lower right")
        legend.set_in_layout(False)  # it is inside the axes
    save_figure(figure, path)


def save_clients(
    path: str | os.PathLike, clients: Sequence[ClientMetrics], names: Names = Names()
) -> None:
    """Draw each client's accuracy on its own training data, before, after and retrained.

    Args:
        path: the PNG file.
        clients: metrics of each client.
        names: names of the clients; default their numbers.
    """
    figure, axes = new_figure(max(7, 1.5 + 0.45 * len(clients)), 4.2)
    places = np.arange(len(clients))
    for offset, (name, color) in zip((-0.28, 0.0, 0.28), COLORS.items()):
        values = [_mean_of(getattr(client.accuracy, name)) for client in clients]
        if not all(np.isnan(values)):
            axes.bar(places + offset, values, 0.26, color=color, label=name)
    axes.set_xticks(
        places,
        [names.of_client(c.client) + ("*" if c.data == "forgotten" else "") for c in clients],
        rotation=30 if names.clients else 0,
        ha="right" if names.clients else "center",
        fontsize="small" if len(clients) < 40 else 4,
    )
    axes.set(xlabel="client (*: forgotten)", ylabel="accuracy on its training data", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)


def save_confusion(
    path: str | os.PathLike, matrices: Mapping[str, Sequence], names: Names = Names()
) -> None:
    """Draw confusion matrices of the test examples side by side, rows normalized to sum to 1.

    Args:
        path: the PNG file.
        matrices: name to counts `(true class, predicted class)`.
        names: names of the classes; default their numbers.
    """
    figure = empty_figure(3.9 * len(matrices), 3.9)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, counts) in zip(panels, matrices.items()):
        counts = np.asarray(counts, float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(shares) <= 12:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    axes.text(
                        column,
                        row,
                        f"{100 * share:.0f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color="white" if share > 0.5 else "black",
                        in_layout=False,
                    )
            titles = [names.of_class(label) for label in range(len(shares))]
            turned = dict(rotation=30, ha="right") if names.classes else {}
            axes.set_xticks(range(len(shares)), titles, **turned)
            axes.set_yticks(range(len(shares)), titles)
        axes.set(title=f"{name} (%)", xlabel="predicted class", ylabel="true class")
    save_figure(figure, path)


def save_relearning(path: str | os.PathLike, relearned: Relearning) -> None:
    """Draw accuracy on the forget set while the models relearn it."""
    figure, axes = new_figure(7.5, 4.0)
    for name, points in relearned.curves.items():
        steps, values = zip(*points)
        axes.plot(
            steps,
            values,
            color=COLORS[name.split()[0]],
            marker=".",
            lw=1.8 if name == "after" else 0.9,
            label=name,
        )
    axes.axhline(relearned.goal, color="0.6", ls=":", label="relearned")
    axes.set(
        xlabel="training steps on the forget set",
        ylabel="accuracy on the forget set",
        ylim=(-0.02, 1.02),
    )
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, path)


def save_inversions(
    path: str | os.PathLike, entries: Sequence[Inversion], names: Names = Names()
) -> None:
    """Draw inverted images, one row per class."""
    titles = ["mean", *entries[0].images]
    figure = empty_figure(1.7 * len(titles), 1.8 * len(entries) + 0.3)
    panels = figure.subplots(len(entries), len(titles), squeeze=False)
    for row, entry in zip(panels, entries):
        for axes, name in zip(row, titles):
            pixels = np.asarray(entry.mean if name == "mean" else entry.images[name])
            axes.imshow(
                pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255
            )
            title = f"class {names.of_class(entry.label)}: mean" if name == "mean" else name
            axes.set_title(title, fontsize="small")
            axes.set(xticks=[], yticks=[])  # hidden ones would be laid out too
            axes.axis("off")
    save_figure(figure, path)


def _mean_of(value) -> float:
    """Return the mean of a number or of a list of numbers; NaN for None or an empty list."""
    if value is None or value == []:
        return float("nan")
    return float(np.mean(value))
