"""Output of `tfunlearn verify`: a bar per training, then verdict, evidence and attacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.table import Table

from tfunlearn.core.requests import quoted
from tfunlearn.core.verification_record import (
    ClassMetrics,
    ClientMetrics,
    Comparison,
    VerificationRecord,
)
from tfunlearn.report.detections import basis
from tfunlearn.report.summaries import count, request_in_words
from tfunlearn.report.tables import gap_row
from tfunlearn.runs.detections import stored_detection
from tfunlearn.runs.run_directory import RunDirectory, read_record
from tfunlearn.workflows.verify.suite import Verification
from tfunlearn_cli.retraining_display import RetrainingDisplay

MOST_PARTS = 20


class VerifyDisplay(RetrainingDisplay):
    """Show a verification in progress; a context manager."""

    def on_stage(self, words: str) -> None:
        """Print the next stage."""
        super().on_stage(f"verify    {words}")

    def finish(self, found: Verification) -> None:
        """Print the verdict, the measurements behind it, and the files."""
        record = found.results
        if not found.new:
            self._say(f"found     {found.folder}, an earlier verification with these settings")
        self._names = RunDirectory(found.folder.parent).read_names()
        self._say(
            f"forgotten {request_in_words(record.requests[-1], self._names)}: "
            f"{count(record.counts['forgotten'], 'example')}, and "
            f"{count(record.counts['never'], 'test example')} like them"
            + (", poisoned likewise" if record.poisoned else "")
        )
        unlearned = read_record(RunDirectory(found.folder.parent))
        for one in map(stored_detection, unlearned.detections if unlearned else ()):
            clients = quoted([self._names.of_client(k) for k in one.found.flagged])
            self._say(f"detected  by {one.found.detector}: {clients}; {basis(one.found)}")
        self._measures(record)
        self._parts(record)
        self._evidence(record)
        self._attacks(record)
        self._others(record)
        for words in record.not_tested:
            self._say(f"untested  {words}")
        if record.verdict.plain:
            self._say(f"verdict   {record.verdict.plain}")
        self._say(f"reasons   {record.verdict.sentence}")
        self._say(f"files     {found.folder}: verification.json, roc.png")
        self._say(f"next      tfunlearn report {shlex.quote(str(found.folder.parent))}")

    def _measures(self, record: VerificationRecord) -> None:
        table = Table("", "before", "after", "retrained", "±", "gap", box=None)
        for name, values in record.measures.items():
            table.add_row(name, *map(value, gap_row(values)))
        self.console.print(table)
        self._say(
            "          retrained: mean of the retrained models; ±: their standard deviation; gap: "
            "after - retrained"
        )

    def _parts(self, record: VerificationRecord) -> None:
        """Print gaps to retraining per class and per client; only the widest if there are many."""
        parts: tuple[tuple[str, Sequence[ClassMetrics] | Sequence[ClientMetrics]], ...] = (
            ("class", record.classes),
            ("client", record.clients),
        )
        names = self._names
        for title, entries in parts:
            shown = sorted(entries, key=lambda e: -abs(_gap(e.accuracy) or 0))[:MOST_PARTS]
            table = Table(title, "accuracy", "gap", "loss", "gap", box=None)
            for number, entry in sorted(((_name(e), e) for e in shown), key=lambda one: one[0]):
                named = names.of_class if title == "class" else names.of_client
                name = named(number)
                forgotten = isinstance(entry, ClientMetrics) and entry.data == "forgotten"
                table.add_row(
                    f"{name} (forgotten)" if forgotten else str(name),
                    value(entry.accuracy.after),
                    value(_gap(entry.accuracy)),
                    value(entry.loss.after),
                    value(_gap(entry.loss)),
                )
            self.console.print(table)
            if len(entries) > len(shown):
                self._say(
                    f"          the {MOST_PARTS} widest gaps of {len(entries)}; all are in "
                    "verification.json and in the report"
                )

    def _evidence(self, record: VerificationRecord) -> None:
        table = Table("", "before", "after", "retrained", "noise", "detectable", "grade", box=None)
        for e in record.evidence:
            table.add_row(
                e.name,
                value(e.before),
                value(e.after),
                value(e.mean),
                f"±{value(e.noise)}" if e.p_value is None else f"p {e.p_value:.3f}",
                value(e.detectable),
                e.word if e.graded else f"({e.word}; not graded)",
            )
        self.console.print(table)
        self._say(
            "          noise: deviation from retraining expected by chance; detectable: gap "
            "that is found with a probability of 80 %"
        )
        self._say(
            "          not informative: does not distinguish the model before unlearning from "
            "retraining; not graded: does not count in the verdict"
        )

    def _attacks(self, record: VerificationRecord) -> None:
        levels = list(record.membership["threshold"].after.tpr_at)
        table = Table(
            "membership attack",
            "AUC",
            "balanced accuracy",
            *(f"TPR at {float(level):.1%} FPR" for level in levels),
            box=None,
        )
        rows = [
            (f"{name}, {title}", models[title])
            for name, models in record.curves.items()
            for title in ("before", "after")
        ]
        for title, roc in rows:
            table.add_row(
                title,
                value(roc.auc),
                value(roc.balanced_accuracy),
                *(
                    value(roc.tpr_at[level]) + ("" if roc.resolved[level] else " (*)")
                    for level in levels
                ),
            )
        self.console.print(table)
        roc = record.membership["threshold"].after
        self._say(
            f"(*)       not resolved: {roc.others} non-members resolve false-positive rates of at "
            f"least {roc.resolution:.2%}; {float(levels[-1]):.1%} needs "
            f"{round(1 / float(levels[-1])):,}"
        )

    def _others(self, record: VerificationRecord) -> None:
        threshold = record.membership["threshold"].more
        self._say(
            "threshold advantage (TPR - FPR) before "
            f"{value(threshold['before']['advantage'])}, after "
            f"{value(threshold['after']['advantage'])}"
        )
        if "shadow models" in record.membership:
            found = record.membership["shadow models"].more
            others = [part for name, part in found.items() if name.startswith("retrained")]
            mean = {name: _mean([part[name] for part in others]) for name in ("recall", "fpr")}
            self._say(
                "shadows   recall on the forget set (false-positive rate in brackets): "
                + ", ".join(
                    f"{title} {value(part['recall'])} ({value(part['fpr'])})"
                    for title, part in (
                        ("before", found["before"]),
                        ("after", found["after"]),
                        ("retrained", mean),
                    )
                )
            )
        if record.relearning:
            relearned = record.relearning
            steps = ", ".join(
                f"{name} {'never' if n is None else n}" for name, n in relearned.steps.items()
            )
            index = relearned.index
            self._say(
                f"relearn   steps: {steps}; anamnesis index "
                f"{'unknown' if index is None else value(index)}"
            )
        for entry in record.inversion or []:
            self._say(
                f"inversion class {self._names.of_class(entry.label)}: correlation with the forget "
                "set's mean image "
                + ", ".join(
                    f"{name} {'-' if v is None else value(v)}" for name, v in entry.likeness.items()
                )
            )
        if record.shadows:
            score = record.shadows.challenge
            self._say(
                f"score     NeurIPS 2023: {value(score.score)} (F {score.quality:.4f}; "
                f"chance {score.chance:.4f}; "
                f"{count(record.shadows.count, 'model')} of each kind resolve epsilon "
                f"up to {score.epsilon_limit})"
            )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _name(entry: ClassMetrics | ClientMetrics) -> int:
    return entry.label if isinstance(entry, ClassMetrics) else entry.client


def _gap(values: Comparison) -> float | None:
    return gap_row(values)[-1]


def value(number: float | None) -> str:
    """Return a number with four significant digits."""
    if number is None:
        return "-"
    return "0" if abs(number) < 1e-12 else f"{number:.4g}"
