"""Table of means and standard deviations over seeds: CSV, LaTeX and a heat map."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.files import write_bytes
from tfunlearn.report.figures import empty_figure, save_figure


@dataclass(frozen=True)
class Matrix:
    """Values of one metric over seeds, for each row and column.

    Attributes:
        title: heading.
        measure: name of the metric.
        rows, columns: labels.
        values: `(row, column)` to one value per seed; NaN for a seed without a value.
        published: `(row, column)` to a published value; default none.
        failed: `(row, column)` to the number of seeds whose unlearning failed; default none.
    """

    title: str
    measure: str
    rows: list[str]
    columns: list[str]
    values: dict[tuple[str, str], list[float]]
    published: dict[tuple[str, str], float] = field(default_factory=dict)
    failed: dict[tuple[str, str], int] = field(default_factory=dict)

    def mean(self, row: str, column: str) -> float:
        """Return the mean over seeds, NaN if any seed has no value."""
        values = self.values.get((row, column), [])
        return float(np.mean(values)) if values else math.nan

    def spread(self, row: str, column: str) -> float:
        """Return the standard deviation over seeds (ddof 1), NaN for fewer than two seeds."""
        values = self.values.get((row, column), [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def text(self, row: str, column: str) -> str:
        """Return `mean ± spread` with three decimals, or the number of failed seeds if any."""
        if self.failed.get((row, column)):
            return f"{self.failed[row, column]} of {len(self.values[row, column])} failed"
        mean, spread = self.mean(row, column), self.spread(row, column)
        if math.isnan(mean):
            return "-"
        return f"{mean:.3f}" if math.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"


def save_matrix(path: str | os.PathLike, matrix: Matrix) -> None:
    """Write `<path>.csv` (one line per cell), `<path>.tex` and `<path>.png`."""
    path = pathlib.Path(path)
    write_bytes(path.with_suffix(".csv"), _as_csv(matrix).encode())
    write_bytes(path.with_suffix(".tex"), _as_latex(matrix).encode())
    _draw(path.with_suffix(".png"), matrix)


def _as_csv(matrix: Matrix) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "seeds", "mean", "spread", "least", "most", "published"])
    for row in matrix.rows:
        for column in matrix.columns:
            values = matrix.values.get((row, column), [])
            numbers = [
                matrix.mean(row, column),
                matrix.spread(row, column),
                min(values, default=math.nan),
                max(values, default=math.nan),
                matrix.published.get((row, column), math.nan),
            ]
            writer.writerow(
                [row, column, len(values), *("" if math.isnan(n) else f"{n:.6f}" for n in numbers)]
            )
    return text.getvalue()


def _as_latex(matrix: Matrix) -> str:
    lines = [
        f"% {_escaped(matrix.title)}: {_escaped(matrix.measure)}, mean and standard deviation "
        "over seeds" + (", published figure in brackets" if matrix.published else ""),
        r"\begin{tabular}{l" + "r" * len(matrix.columns) + "}",
        r"\hline",
        " & ".join(["", *map(_escaped, matrix.columns)]) + r" \\",
        r"\hline",
    ]
    for row in matrix.rows:
        cells = []
        for column in matrix.columns:
            cell = matrix.text(row, column)
            if not cell.endswith("failed"):
                cell = f"${cell.replace('±', chr(92) + 'pm')}$" if cell != "-" else "--"
            if (row, column) in matrix.published:
                cell += f" ({matrix.published[row, column]:.3f})"
            cells.append(cell)
        lines.append(" & ".join([_escaped(row), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: "\\" + sign for sign in "&%$#_{}"},
    }
    return "".join(special.get(sign, sign) for sign in text)


def _draw(path: pathlib.Path, matrix: Matrix) -> None:
    means = np.array(
        [[matrix.mean(row, column) for column in matrix.columns] for row in matrix.rows]
    )
    figure = empty_figure(
        min(3 + 1.6 * len(matrix.columns), 30), min(1.8 + 0.5 * len(matrix.rows), 30)
    )
    axes = figure.subplots()
    known = means[~np.isnan(means)]
    share = matrix.measure != "test_loss" and bool(((known >= 0) & (known <= 1)).all())
    picture = axes.imshow(means, cmap="viridis", aspect="auto", vmin=0, vmax=1 if share else None)
    axes.set_xticks(
        range(len(matrix.columns)), map(_drawn, matrix.columns), rotation=30, ha="right"
    )
    axes.set_yticks(range(len(matrix.rows)), map(_drawn, matrix.rows))
    low, high = picture.get_clim()
    for y, row in enumerate(matrix.rows):
        for x, column in enumerate(matrix.columns):
            text = matrix.text(row, column)
            if (row, column) in matrix.published:
                text += f"\n({matrix.published[row, column]:.3f})"
            bright = not math.isnan(means[y, x]) and means[y, x] > (low + high) / 2
            axes.text(
                x,
                y,
                text,
                ha="center",
                va="center",
                fontsize=7,
                color="black" if bright or math.isnan(means[y, x]) else "white",
                in_layout=False,
            )
    axes.set_title(
        f"{_drawn(matrix.title)}\n{matrix.measure.replace('_', ' ')}"
        + (", published in brackets" if matrix.published else ""),
        fontsize=9,
    )
    figure.colorbar(picture, ax=axes)
    save_figure(figure, path)


def _drawn(text: str) -> str:
    """Return a label for matplotlib: at most 80 characters, dollar signs escaped."""
    return (text if len(text) <= 80 else f"{text[:77]}...").replace("$", r"\$")
