"""Results of an evaluation as CSV files."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from tfunlearn.core.files import write_csv
from tfunlearn.evaluation.memorization import GROUPS
from tfunlearn.workflows.evaluate.study import GmeStudy

HEAD = ("model", "models", "group", "examples", "accuracy", "spread", "gap")
LOCAL = (
    "test_accuracy",
    "remain_accuracy",
    "fairness",
    "peak_rounds",
    "peak_work_seconds",
    "peak_client_steps",
)


def write_groups(path: str | os.PathLike, study: GmeStudy) -> None:
    """Write a line for each row and group, and lines for the further metrics of each row."""
    write_csv(path, HEAD, _group_lines(study))


def write_scores(path: str | os.PathLike, study: GmeStudy) -> None:
    """Write a line for each forgotten example: client, index, score, group."""
    report = study.report
    write_csv(
        path,
        ("client", "index", "score", "group"),
        (
            (client, index, f"{score:.6f}", GROUPS[group])
            for client, index, score, group in zip(
                study.clients, study.indices, report.scores, report.groups
            )
        ),
    )


def _group_lines(study: GmeStudy) -> Iterable[tuple]:
    report = study.report
    sizes = [*report.sizes, sum(report.sizes)]
    for name, row in report.rows.items():
        for place, group in enumerate((*GROUPS, "all")):
            yield (
                name,
                row.models,
                group,
                sizes[place],
                f"{row.mean[place]:.6f}",
                f"{row.spread[place]:.6f}",
                f"{row.gap[place]:.6f}",
            )
        for measure, values in local_values(study, name).items():
            if values:
                yield (
                    name,
                    len(values),
                    measure,
                    "",
                    f"{np.mean(values):.6f}",
                    f"{np.std(values):.6f}",
                    "",
                )


def local_values(study: GmeStudy, name: str) -> dict[str, list]:
    """Return the further metrics of a row, metric name to the values of its models."""
    models = study.models[name]
    costs = {
        cost: [peak.costs[cost] for peak in models.peaks if cost in peak.costs]
        for cost in ("work_seconds", "client_steps")
    }
    values = (
        models.test_accuracy,
        [v for v in models.remain_accuracy if v is not None],
        [fairness.value for fairness in models.fairness],
        [float(peak.rounds) for peak in models.peaks],
        costs["work_seconds"],
        costs["client_steps"],
    )
    return dict(zip(LOCAL, values))
