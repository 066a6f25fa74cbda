"""Output of `tfunlearn evaluate --gme`: a bar per missing retraining, then the groups."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from tfunlearn.evaluation.memorization import GROUPS
from tfunlearn.report import save_groups
from tfunlearn.report.summaries import count, request_in_words
from tfunlearn.workflows.evaluate.tables import local_values
from tfunlearn_cli.display import number
from tfunlearn_cli.retraining_display import RetrainingDisplay


class GmeDisplay(RetrainingDisplay):
    """Show a memorization evaluation in progress; a context manager.

    Args:
        settings: `GmeSettings`.
    """

    def __init__(self, settings):
        super().__init__()
        self._settings = settings

    def finish(self, study) -> None:
        """Print the groups, the other measurements, and how to read them."""
        report, settings = study.report, self._settings
        self._say(
            f"forgotten {request_in_words(study.request)}: "
            f"{count(len(report.scores), 'example')}"
            + (
                f", {study.overlap:.1%} of them also held by remaining clients"
                if study.overlap
                else ""
            )
        )
        self._say(f"scores    {_scores_in_words(study)}")
        self._groups(study)
        self._others(study)
        self._say(
            f"          in brackets: gap to {count(report.graders, 'retrained model')} (mean); ±: "
            "standard deviation over models"
        )
        if report.graders < 3:
            self._say(
                f"warning: {count(report.graders, 'retrained model')} for comparison; 3 or more "
                "are better (--retrains)"
            )
        self._say(
            f"fairness  {settings.fairness} of the remaining clients' changes in "
            f"{settings.fairness_metric}, lower is fairer; time to peak: until test accuracy is "
            "within half a percentage point of its maximum"
        )

    def _groups(self, study) -> None:
        report = study.report
        heads = [f"{name} % ({size})" for name, size in zip(GROUPS, report.sizes)]
        table = Table(
            "accuracy on the forget set", "models", *heads, f"all ({len(report.scores)})", box=None
        )
        for name, row in report.rows.items():
            table.add_row(
                name,
                str(row.models),
                *(
                    _cell(mean, spread, None if name == "retrained" else gap, row.models)
                    for mean, spread, gap in zip(row.mean, row.spread, row.gap)
                ),
            )
        self.console.print(table)

    def _others(self, study) -> None:
        table = Table(
            "",
            "test accuracy",
            "retain set",
            "fairness",
            "rounds to peak",
            "seconds",
            "client steps",
            box=None,
        )
        for name in study.report.rows:
            values = local_values(study, name)
            table.add_row(
                name,
                *(
                    _mean(values[measure], digits)
                    for measure, digits in (
                        ("test_accuracy", 4),
                        ("remain_accuracy", 4),
                        ("fairness", 4),
                        ("peak_rounds", 1),
                        ("peak_work_seconds", 1),
                        ("peak_client_steps", 0),
                    )
                ),
            )
        self.console.print(table)


def draw_groups(path: str, study) -> None:
    """Plot the accuracies of every row as bars."""
    rows = study.report.rows
    save_groups(
        path,
        {name: row.mean for name, row in rows.items()},
        {name: row.spread for name, row in rows.items()},
        (*GROUPS, "all"),
        title=f"forgotten: {request_in_words(study.request)}",
    )


def peak_in_words(peak) -> str:
    """Return, in words, when a run comes within 0.005 of its highest test accuracy."""
    costs = [
        f"{peak.costs[name]:,.{digits}f} {what}"
        for name, digits, what in (("work_seconds", 1, "s"), ("client_steps", 0, "client steps"))
        if name in peak.costs
    ]
    return f"; within 0.005 of the peak {peak.peak:.4f} after {count(peak.rounds, 'round')}" + (
        f", {', '.join(costs)}" if costs else ""
    )


def _scores_in_words(study) -> str:
    report, settings = study.report, study.settings
    if settings.scores == "retraining":
        return (
            f"by {count(report.scorers, 'retrained model')}, {report.grading}"
            if report.grading == "disjoint"
            else f"leave-one-out: a model is compared in groups that the other "
            f"{report.scorers} define"
        )
    what = {
        "subsets": f"a pool of {settings.pool} trainings",
        "checkpoints": "the rounds that the run has kept (a proxy)",
    }[settings.scores]
    return f"from {what}; rank correlation with retraining {number(study.correlation)}"


def _cell(mean: float, spread: float, gap: float | None, models: int) -> str:
    return (
        f"{100 * mean:.1f}"
        + (f"±{100 * spread:.1f}" if models > 1 else "")
        + ("" if gap is None else f" ({100 * gap:.1f})")
    )


def _mean(values, digits: int) -> str:
    return f"{np.mean(values):,.{digits}f}" if len(values) else "-"
