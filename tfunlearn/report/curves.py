"""Figures of a training run and of a client partition."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.names import Names
from tfunlearn.report.figures import colormap, new_figure, save_figure


def save_curves(path: str | os.PathLike, lines: Sequence[dict]) -> None:
    """Draw accuracy and attack success rate over rounds; attacked and pruning rounds are marked.

    Args:
        path: the PNG file.
        lines: the lines of a run's `metrics.jsonl`.
    """
    figure, axes = new_figure(8, 4.5)
    rounds = [line["round"] for line in lines]
    for name, label, style in (
        ("test_accuracy", "test accuracy", "C0-"),
        ("attack_success", "attack success", "C3-"),
        ("source_error", "source-class error", "C1--"),
    ):
        values = [np.nan if line[name] is None else line[name] for line in lines]
        axes.plot(rounds, values, style, label=label, marker=".")
    for number, line in enumerate(lines):
        if line["attackers"]:
            axes.axvspan(
                line["round"] - 0.5,
                line["round"] + 0.5,
                color="C3",
                alpha=0.08,
                lw=0,
                label=None if any(one["attackers"] for one in lines[:number]) else "attack",
            )
        if line["pruned"]:
            axes.axvline(
                line["round"],
                color="0.6",
                lw=0.8,
                ls=":",
                label=None if any(one["pruned"] for one in lines[:number]) else "pruning",
            )
    axes.set(xlabel="round", ylabel="share of test examples", ylim=(-0.02, 1.02))
    axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]  a MaxNLocator
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_figure(figure, path)


def save_histogram(path: str | os.PathLike, histogram: np.ndarray, names: Names = Names()) -> None:
    """Draw the number of examples of each class held by each client.

    Args:
        path: the PNG file.
        histogram: counts `(clients, classes)`.
        names: names of classes and clients; default their numbers.
    """
    clients, classes = histogram.shape
    figure, axes = new_figure(max(6, clients * 0.18), 4.5)
    colors = colormap("tab10" if classes <= 10 else "turbo", classes)
    bottom = np.zeros(clients)
    for label in range(classes):
        axes.bar(
            np.arange(clients),
            histogram[:, label],
            bottom=bottom,
            color=colors(label),
            label=names.of_class(label),
            width=0.9,
        )
        bottom += histogram[:, label]
    if clients <= 40:  # the number of examples above each bar
        for client, total in enumerate(bottom):
            axes.annotate(f"{total:,.0f}", (client, total), ha="center", va="bottom", fontsize=6)
    axes.set(xlabel="client", ylabel="training examples")
    if names.clients and clients <= 40:
        titles = [names.of_client(client) for client in range(clients)]
        axes.set_xticks(range(clients), titles, rotation=30, ha="right", fontsize="small")
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]  a MaxNLocator
    axes.legend(
        title="class",
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        ncols=1 + classes // 20,
        fontsize="small",
    )
    save_figure(figure, path)
