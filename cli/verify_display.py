"""Output of `tfunlearn verify`: a bar per training, then verdict, evidence and attacks."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tfunlearn.report.summaries import count, request_in_words
from tfunlearn.report.tables import gap_row
from tfunlearn_cli.retraining_display import RetrainingDisplay

MOST_PARTS = 20


class VerifyDisplay(RetrainingDisplay):
    """Show a verification in progress; a context manager."""

    def tell(self, words: str) -> None:
        """Print the next step."""
        super().tell(f"verify    {words}")

    def finish(self, found) -> None:
        """Print the verdict, the measurements behind it, and the files."""
        record = found.record
        if not found.new:
            self._say(f"found     {found.folder}, verified so earlier")
        self._say(f"verdict   {record['verdict']['plain']}")
        self._say(f"reasons   {record['verdict']['sentence']}")
        self._say(
            f"forgotten {request_in_words(record['requests'][-1])}: "
            f"{count(record['counts']['forgotten'], 'example')}, beside "
            f"{count(record['counts']['never'], 'test example')} like them"
            + (", poisoned as they were" if record["poisoned"] else "")
        )
        self._measures(record)
        self._parts(record)
        self._evidence(record)
        self._attacks(record)
        self._others(record)
        for words in record["not_tested"]:
            self._say(f"untested  {words}")
        self._say(f"files     {found.folder}: verification.json, roc.png")
        self._say(f"next      tfunlearn report {found.folder.parent}")

    def _measures(self, record: dict) -> None:
        table = Table("", "before", "after", "retrained", "±", "gap", box=None)
        for name, values in record["measures"].items():
            table.add_row(name, *map(value, gap_row(values)))
        self.console.print(table)

    def _parts(self, record: dict) -> None:
        """Print gaps to retraining per class and per client; only the widest if there are many."""
        for name, entries in (("class", record["classes"]), ("client", record["clients"])):
            key = "label" if name == "class" else "client"
            gaps: list[tuple[Any, ...]] = [
                (entry, *(gap_row(entry[what])[-1] for what in ("accuracy", "loss")))
                for entry in entries
            ]
            shown = sorted(gaps, key=lambda gap: -abs(gap[1]))[:MOST_PARTS]
            shown.sort(key=lambda gap: gap[0][key])
            table = Table(name, "accuracy", "gap", "loss", "gap", box=None)
            for entry, *both in shown:
                mark = " (forgotten)" if entry.get("data") == "forgotten" else ""
                table.add_row(
                    f"{entry[key]}{mark}",
                    value(entry["accuracy"]["after"]),
                    value(both[0]),
                    value(entry["loss"]["after"]),
                    value(both[1]),
                )
            self.console.print(table)
            if len(gaps) > len(shown):
                self._say(
                    f"          the {MOST_PARTS} widest gaps of {len(gaps)}; all are in "
                    "verification.json and in the report"
                )

    def _evidence(self, record: dict) -> None:
        table = Table(
            "", "before", "after", "retrained", "noise", "noticed from", "grade", box=None
        )
        for e in record["evidence"]:
            table.add_row(
                e["name"],
                value(e["before"]),
                value(e["after"]),
                value(e["mean"]),
                f"±{value(e['noise'])}" if e["p_value"] is None else f"p {e['p_value']:.3f}",
                value(e["detectable"]),
                e["word"] if e["graded"] else f"({e['word']}; not graded)",
            )
        self.console.print(table)

    def _attacks(self, record: dict) -> None:
        levels = list(record["membership"]["threshold"]["after"]["tpr_at"])
        table = Table(
            "membership attack",
            "AUC",
            "balanced accuracy",
            *(f"TPR at {float(level):.1%} FPR" for level in levels),
            box=None,
        )
        rows = [
            (f"{name}, {title}", part[title])
            for name, part in record["membership"].items()
            for title in ("before", "after")
        ]
        if "shadows" in record:
            rows += [
                (f"U-LiRA, {title}", record["shadows"][title]) for title in ("before", "after")
            ]
        for title, roc in rows:
            table.add_row(
                title,
                value(roc["auc"]),
                value(roc["balanced_accuracy"]),
                *(
                    value(roc["tpr_at"][level]) + ("" if roc["resolved"][level] else " (*)")
                    for level in levels
                ),
            )
        self.console.print(table)
        roc = record["membership"]["threshold"]["after"]
        self._say(
            f"(*)       not resolved: {roc['others']} non-members show no false-positive "
            f"rate below {roc['resolution']:.2%}, {round(1 / float(levels[-1])):,} would "
            f"show {float(levels[-1]):.1%}"
        )

    def _others(self, record: dict) -> None:
        threshold = record["membership"]["threshold"]["more"]
        self._say(
            "threshold advantage (TPR - FPR) before "
            f"{value(threshold['before']['advantage'])}, after "
            f"{value(threshold['after']['advantage'])}"
        )
        if "shadow models" in record["membership"]:
            found = record["membership"]["shadow models"]["more"]
            others = [part for name, part in found.items() if name.startswith("retrained")]
            mean = {
                name: sum(part[name] for part in others) / len(others) for name in ("recall", "fpr")
            }
            self._say(
                "shadows   recall on the forgotten (false-positive rate beside it): "
                + ", ".join(
                    f"{title} {value(part['recall'])} ({value(part['fpr'])})"
                    for title, part in (
                        ("before", found["before"]),
                        ("after", found["after"]),
                        ("retrained", mean),
                    )
                )
            )
        if "relearning" in record:
            relearned = record["relearning"]
            steps = ", ".join(
                f"{name} {'never' if n is None else n}" for name, n in relearned["steps"].items()
            )
            index = relearned["index"]
            self._say(
                f"relearn   steps: {steps}; anamnesis index "
                f"{'unknown' if index is None else value(float(index))}"
            )
        for entry in record.get("inversion", []):
            self._say(
                f"inversion class {entry['label']}: likeness to the forgotten images "
                + ", ".join(
                    f"{name} {'-' if v is None else value(v)}"
                    for name, v in entry["likeness"].items()
                )
            )
        if "shadows" in record:
            score = record["shadows"]["challenge"]
            self._say(
                f"score     NeurIPS 2023: {value(score['score'])} (F {score['quality']:.4f}; "
                f"models that nothing tells apart have {score['chance']:.4f}; "
                f"{count(record['shadows']['count'], 'model')} of each kind resolve epsilon "
                f"up to {score['epsilon_limit']})"
            )


def value(number: float | None) -> str:
    """Return a number with four significant digits."""
    if number is None:
        return "-"
    return "0" if abs(number) < 1e-12 else f"{number:.4g}"
