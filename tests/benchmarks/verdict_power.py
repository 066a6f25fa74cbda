"""The verdict's power by simulation: a table and a picture, over the gap that the model before had.

Five measures, four of forgetting and one of utility, normal, equally correlated (0.5), standard deviation 1
over retraining. OUT receives verdict_power.csv and verdict_power.png.

    .venv/bin/python tests/benchmarks/verdict_power.py OUT [--draws 1000]
"""

from __future__ import annotations

import argparse
import csv
import math
import pathlib

import numpy as np

from tfunlearn.report.figures import new_figure, save_figure
from tfunlearn.verification import Evidence, grade
from tfunlearn.verification.verdict import FORGOTTEN, NOT_SHOWN, words_of

MODELS, GAPS, MEASURES, CORRELATION = (3, 5, 10, 20), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), 5, 0.5
KINDS = {"untouched": "failed", "half way": "forgotten", "perfect": "forgotten"}


def rates(models: int, kind: str, gap: float, draws: int) -> tuple[float, float, float]:
    """Returns the shares of failed, forgotten and not shown."""
    rng = np.random.default_rng([models, int(gap), len(kind)])
    shape = (draws, models + 2, MEASURES)
    values = math.sqrt(CORRELATION) * rng.normal(size=(draws, models + 2, 1)) + math.sqrt(
        1 - CORRELATION
    ) * rng.normal(size=shape)
    gaps = np.array([gap] * (MEASURES - 1) + [0.0])
    before = values[:, models] + gaps
    after = {"untouched": before, "half way": values[:, -1] + gaps / 2, "perfect": values[:, -1]}[
        kind
    ]
    words = [
        words_of(
            grade(
                [
                    Evidence(str(j), b[j], u[j], tuple(others[:, j]), 0.0, j == MEASURES - 1)
                    for j in range(MEASURES)
                ]
            )
        )
        for b, u, others in zip(before, after, values[:, :models])
    ]
    forgotten, shown = (np.mean([w == [word] for w in words]) for word in (FORGOTTEN, NOT_SHOWN))
    return 1 - forgotten - shown, float(forgotten), float(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--draws", type=int, default=1000)
    args = parser.parse_args()
    rows = [
        (models, kind, gap, *rates(models, kind, gap, args.draws))
        for models in MODELS
        for kind in KINDS
        for gap in GAPS
    ]
    with open(args.out / "verdict_power.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [
                ("retrained models", "unlearning", "gap", "failed", "forgotten", "not shown"),
                *((*row[:3], *(f"{share:.3f}" for share in row[3:])) for row in rows),
            ]
        )
    figure, axes = new_figure(8, 4.5)
    for place, models in enumerate(MODELS):
        for kind, style in (("untouched", "-"), ("perfect", "--")):
            chosen = [row for row in rows if row[:2] == (models, kind)]
            axes.plot(
                [row[2] for row in chosen],
                [row[3 if kind == "untouched" else 4] for row in chosen],
                style,
                color=f"C{place}",
                marker=".",
                label=f"{models} retrained models: {kind} called {KINDS[kind]}",
            )
    axes.set(
        xscale="log",
        xlabel="gap of the model before, in standard deviations of retraining",
        ylabel="share of verdicts",
        ylim=(-0.02, 1.02),
    )
    axes.set_xticks(GAPS, map(str, GAPS))
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, args.out / "verdict_power.png")


if __name__ == "__main__":
    main()
