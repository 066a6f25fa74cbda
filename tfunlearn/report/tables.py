"""Tables of a report: column names and rows from metrics, verifications and unlearning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.verification_record import ClassMetrics, ClientMetrics, Comparison
from tfunlearn.report.facts import RunFacts

ROUND_COLUMNS = (
    "round",
    "phase",
    "test_accuracy",
    "test_loss",
    "attack_success",
    "source_error",
    "forget_accuracy",
    "remain_accuracy",
    "train_loss",
    "clients",
    "seconds",
)
MEASURES = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "attack_success": "attack success",
    "source_error": "source error",
    "forget_accuracy": "accuracy on the forget set",
    "remain_accuracy": "accuracy on the retain set",
}


def side_by_side(runs: Sequence[RunFacts]) -> tuple[list[str], list[list]]:
    """Return the column names and rows of a table of several runs, one column per run."""
    rows: list[list[Any]] = [
        ["verdict", *(facts.word for facts in runs)],
        ["method", *("trained" if f.unlearning is None else f.unlearning.method for f in runs)],
    ]
    for name, label in MEASURES.items():
        values = [
            (
                f.lines[-1]
                if f.unlearning is None and f.lines
                else {}
                if f.unlearning is None
                else f.unlearning.measured.after
            ).get(name)
            for f in runs
        ]
        if any(value is not None for value in values):
            rows.append([label, *values])
    for name, label in (
        ("rounds", "rounds"),
        ("client_steps", "client steps"),
        ("work_seconds", "seconds of work"),
        ("bytes_up", "bytes sent by clients"),
    ):
        rows.append(
            [
                label,
                *(f.unlearning and getattr(f.unlearning.cost, name) for f in runs),
            ]
        )
    for name in dict.fromkeys(e.name for f in runs if f.record for e in f.record.evidence):
        rows.append(
            [
                f"{name}, gap to retraining",
                *(
                    next(
                        (e.gap for e in (f.record.evidence if f.record else ()) if e.name == name),
                        None,
                    )
                    for f in runs
                ),
            ]
        )
    return ["", *(facts.name for facts in runs)], rows


def round_table(lines: Sequence[dict]) -> tuple[list[str], list[list]]:
    names = [name for name in ROUND_COLUMNS if any(line.get(name) is not None for line in lines)]
    return (
        [name.replace("_", " ") for name in names] + ["attackers", "pruned"],
        [
            [*(line.get(name) for name in names), len(line["attackers"]), len(line["pruned"])]
            for line in lines
        ],
    )


def beside_retraining(
    name: str,
    second: str,
    entries: Sequence[ClassMetrics] | Sequence[ClientMetrics],
    named: Callable[[int], str] = str,
) -> tuple[list[str], list[list]]:
    """Return column names and rows of accuracy and loss of each entry: before, after, retrained.

    Args:
        name: attribute of the first column, such as `client`.
        second: attribute of the second column.
        entries: metrics of each client or class.
        named: name of a client or class in the table; default its number.
    """
    kinds = [
        kind
        for kind in ("before", "after", "retrained")
        if getattr(entries[0].accuracy, kind) not in (None, [])
    ]
    head, told = [name, second], "retrained" in kinds
    for what in ("accuracy", "loss"):
        head += [f"{what}, {kind}" for kind in kinds] + ([f"{what}, gap"] if told else [])
    rows = []
    for entry in entries:
        row = [named(getattr(entry, name)), getattr(entry, second)]
        for values in (entry.accuracy, entry.loss):
            row += [float(np.mean(getattr(values, kind))) for kind in kinds]
            row += [gap_row(values)[-1]] if told else []
        rows.append(row)
    return head, rows


def gap_row(values: Comparison) -> list[float | None]:
    """Return a metric before and after unlearning, mean and standard deviation of the retrained
    models, and the gap to their mean; None for unknown values."""
    after, known = values.after, values.known
    mean = float(np.mean(known)) if known else None
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    gap = None if mean is None or after is None else after - mean
    return [values.before, after, mean, spread, gap]


def mean_matrix(value) -> list:
    """Return a matrix as nested lists; the mean, if `value` holds several matrices."""
    array = np.asarray(value, float)
    return (array.mean(axis=0) if array.ndim == 3 else array).tolist()
