"""Figure of an unlearning run: metrics by round, with the models before and retrained."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.records import Measured
from tfunlearn.report.figures import new_figure, save_figure

SHOWN = {
    "test_accuracy": ("test accuracy", "C0"),
    "remain_accuracy": ("remaining data", "C2"),
    "forget_accuracy": ("forgotten data", "C1"),
    "forget_test_accuracy": ("forgotten classes, test", "C5"),
    "poisoned_accuracy": ("forgotten, poisoned", "C4"),
    "attack_success": ("attack success", "C3"),
    "source_error": ("source-class error", "C6"),
}


def save_recovery(
    path: str | os.PathLike,
    lines: Sequence[dict],
    measured: Measured,
) -> None:
    """Draw the metrics before unlearning, after it, and over the rounds of recovery.

    Args:
        path: the PNG file.
        lines: the lines of the run's `metrics.jsonl`.
        measured: metrics of the models `before`, at the `start` of recovery, `after`, and
            `retrained` (dotted lines), which may be None.
    """
    figure, axes = new_figure(8.5, 4.5)
    waited = sum(line["phase"] == "wait" for line in lines)
    rounds = range(-waited - 1, len(lines) - waited + 1)
    for name, (label, color) in SHOWN.items():
        values = [line.get(name) for line in lines]
        points = [
            measured.before.get(name),
            *values[:waited],
            measured.start.get(name),
            *values[waited:],
        ]
        if all(point is None for point in points):
            continue
        axes.plot(
            rounds,
            [np.nan if p is None else p for p in points],
            color=color,
            marker=".",
            label=label,
        )
        reference = (measured.retrained or {}).get(name)
        if reference is not None:
            axes.axhline(reference, color=color, ls=":", lw=1)
    axes.axvline(-0.5, color="0.6", lw=0.8)
    axes.set(
        xlabel="round (left: before; 0: unlearned, not yet recovered; dotted: retrained)",
        ylabel="share of examples",
        ylim=(-0.02, 1.02),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]  a MaxNLocator
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_figure(figure, path)
