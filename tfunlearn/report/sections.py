"""Sections of a report on one run: request, method, cost, verification, rounds, configuration."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfunlearn.core.files import write_csv
from tfunlearn.core.requests import quoted
from tfunlearn.core.verification_record import Inversion, VerificationRecord
from tfunlearn.report import proof
from tfunlearn.report.curves import save_curves
from tfunlearn.report.detections import basis
from tfunlearn.report.facts import RunFacts
from tfunlearn.report.groups import save_groups
from tfunlearn.report.page import Page
from tfunlearn.report.recovery import save_recovery
from tfunlearn.report.summaries import cost_in_words, count, recovery, request_in_words
from tfunlearn.report.tables import MEASURES, beside_retraining, gap_row, mean_matrix, round_table

GLOSSARY = (
    "A membership-inference attack classifies examples as members or non-members of a model's "
    "training data. AUC: area under its ROC curve; 0.5 is guessing, 1 is perfect. Balanced "
    "accuracy: mean of true-positive and true-negative rate at the best threshold. TPR at 1 % FPR: "
    "share of members found when 1 % of non-members are classified as members. The threshold "
    "attack, shadow models, LiRA and U-LiRA are ordered from weak to strong. Relearn time: "
    "training steps on the forget set until its original accuracy is reached."
)


class Section:
    """Writer of one run's sections into a page, and of its figures and tables into a folder.

    Args:
        page: the page.
        folder: receives each figure as PNG and each table as CSV.
        number: number of the run, from 1.
        facts: contents of the report on the run.
    """

    def __init__(self, page: Page, folder: str | os.PathLike, number: int, facts: RunFacts):
        self._page, self._folder, self._facts = page, pathlib.Path(folder), facts
        self._stem = f"run{number}"

    def write(self) -> None:
        """Write all sections."""
        page, facts = self._page, self._facts
        page.heading(2, facts.name, kind="run")
        page.paragraph(facts.verdict, f"verdict {facts.mark}")
        page.paragraph(
            f"Folder {facts.path}"
            + ("" if facts.unlearning is None else f", unlearned from {facts.unlearning.source}")
            + ".",
            "note",
        )
        self._detections()
        if facts.unlearning is not None:
            self._ask()
            self._done()
        self._proof()
        self._rounds()
        self._behaviour()
        self._origin()

    def _detections(self) -> None:
        """Write who was flagged, since when and why, and who attacked, where that is known."""
        facts, name = self._facts, self._facts.names.of_client
        if not facts.detections:
            return
        self._page.heading(3, "Detection")
        for found, since in zip(facts.detections, facts.since):
            flagged = dict(zip(found.flagged, since))
            clients = ", ".join(name(k) for k in flagged) or "nobody"
            self._page.paragraph(
                f"Detector {found.detector}, from {count(len(found.rounds), 'round')}: flagged "
                f"{clients}. Basis: {basis(found)}."
            )
            for words in found.remarks:
                self._page.paragraph(f"Note: {words}.", "note")
            rows = [
                [
                    name(client),
                    "-" if score is None else f"{score:.4f}",
                    flagged.get(client, "-"),
                    *([] if facts.attackers is None else [_yes(client in facts.attackers)]),
                ]
                for client, score in zip(found.ids, found.scores)
            ]
            known = [] if facts.attackers is None else ["attacked (recorded by the simulation)"]
            self._table(
                f"detection_{found.detector}",
                f"Scores by {found.detector}; higher is more suspicious, unless the basis says "
                "that smaller scores are flagged",
                ["client", "score", "flagged since round", *known],
                rows,
                folded=len(rows) > 20,
            )

    def _ask(self) -> None:
        page, unlearning = self._page, self._facts.unlearning
        assert unlearning is not None  # the caller has looked
        page.heading(3, "Request")
        forgotten = unlearning.forgotten
        page.paragraph(
            f"Forget {request_in_words(unlearning.requests[-1], self._facts.names)}: "
            f"{count(forgotten.examples, 'example')}"
            + (
                f", all data of {count(len(forgotten.clients), 'client')}"
                if forgotten.clients
                else ""
            )
            + "."
        )
        if len(unlearning.requests) > 1:
            page.paragraph(
                f"{count(len(unlearning.requests) - 1, 'request')} before this one: "
                + "; ".join(
                    request_in_words(r, self._facts.names) for r in unlearning.requests[:-1]
                )
                + "."
            )

    def _done(self) -> None:
        page, unlearning = self._page, self._facts.unlearning
        assert unlearning is not None  # the caller has looked
        page.heading(3, "Method and cost")
        page.paragraph(f"Method {unlearning.method}, then recovery: {recovery(unlearning)}.")
        page.paragraph(
            f"Cost: {cost_in_words(unlearning.cost)}. Seconds are wall time, evaluation included; "
            f"{unlearning.cost.work_seconds:.1f} s without evaluation."
        )
        for words in (
            f"Method chosen by default: {unlearning.reason}." if unlearning.reason else "",
            "Forgotten by an earlier request, and dropped from this one: "
            f"{request_in_words(unlearning.dropped, self._facts.names)}."
            if unlearning.dropped
            else "",
            f"Identifiers of the request: {quoted(unlearning.identifiers)}."
            if unlearning.identifiers
            else "",
            f"{count(len(unlearning.unknown), 'identifier')} of the request named no example: "
            f"{quoted(unlearning.unknown)}."
            if unlearning.unknown
            else "",
            f"{count(len(unlearning.held_out), 'identifier')} of the request named test examples, "
            f"which the model was not trained on: {quoted(unlearning.held_out)}."
            if unlearning.held_out
            else "",
            *(f"Warning: {words}." for words in unlearning.warnings),
            f"Damaged: {unlearning.damaged}." if unlearning.damaged else "",
        ):
            if words:
                page.paragraph(words)
        told = self._facts.method_words
        if told:
            page.paragraph(f"Details{told}.", "note")
        self._table(
            "settings",
            "Method settings",
            ["setting", "value"],
            [[name, _plain(value)] for name, value in unlearning.settings.items()],
            folded=True,
        )
        measured = unlearning.measured
        titles = [t for t in ("before", "start", "after", "retrained") if measured.of(t)]
        self._table(
            "measured",
            "Metrics of the unlearning run (retrained: one model, with its own seed)",
            ["", *titles],
            [
                [label, *((measured.of(title) or {}).get(name) for title in titles)]
                for name, label in MEASURES.items()
                if any((measured.of(title) or {}).get(name) is not None for title in titles)
            ],
        )

    def _proof(self) -> None:
        page, record = self._page, self._facts.record
        if record is None:
            return
        page.heading(3, "Verification")
        seeds = ", ".join(str(one.seed) for one in record.retrained)
        models = len(record.retrained)
        page.paragraph(
            f"Compared with {count(models, 'model')} retrained from scratch without the forget set "
            f"(seed{'s' * (models > 1)} {seeds}), the result of perfect unlearning. Noise is the "
            "deviation from their mean that a perfectly unlearned model may show by chance"
            + (
                " (at most 4 % false alarms over all graded metrics together)"
                if record.verdict.plain
                else " (95 % for each metric)"
            )
            + (
                ""
                if models > 1
                else "; with one model it is unknown, and only the tolerance is used"
            )
            + f". It is at least the tolerance of {record.settings['tolerance']:g}. A metric that "
            "does not distinguish the model before unlearning from retraining is not informative."
        )
        if record.verdict.plain:
            page.paragraph(record.verdict.sentence)
        self._table(
            "evidence",
            "Evidence",
            [
                "metric",
                "before",
                "after",
                "retrained, mean",
                "noise",
                "detectable",
                "graded",
                "grade",
            ],
            [
                [
                    e.name,
                    e.before,
                    e.after,
                    e.mean,
                    e.noise,
                    e.detectable,
                    "yes" if e.graded else "no",
                    e.word,
                ]
                for e in record.evidence
            ],
        )
        self._verifications()
        page.paragraph(GLOSSARY, "note")
        self._table(
            "measures",
            "Accuracy and loss compared with retraining",
            ["", "before", "after", "retrained, mean", "retrained, deviation", "gap"],
            [[name, *gap_row(values)] for name, values in record.measures.items()],
        )
        self._attacks(record)
        if record.relearning:
            relearned = record.relearning
            self._figure(
                "relearning",
                proof.save_relearning,
                [relearned],
                "Accuracy on the forget set while each model is trained on it. "
                + ", ".join(
                    f"{name}: {'never' if n is None else f'{n} steps'}"
                    for name, n in relearned.steps.items()
                ),
                "Relearning the forget set. A model that needs far fewer steps than the "
                "retrained models still remembers it.",
            )
            self._table(
                "relearning",
                "Relearning",
                ["model", "steps", "accuracy"],
                [
                    [name, step, value]
                    for name, points in relearned.curves.items()
                    for step, value in points
                ],
                folded=True,
            )
        if record.inversion:
            self._inversion(record.inversion)
        page.heading(3, "What was not tested")
        page.listing(record.not_tested)

    def _verifications(self) -> None:
        """Add a table of all verifications of this model, with their settings."""
        earlier = self._facts.earlier
        names = list(earlier[-1].settings)
        self._table(
            "verifications",
            f"All {count(len(earlier), 'verification')} of this model; the last one is shown here",
            ["folder", "verdict", "retrained", *names],
            [
                [
                    one.folder,
                    one.verdict,
                    one.retrained,
                    *(_plain(one.settings.get(name)) for name in names),
                ]
                for one in earlier
            ],
            folded=len(earlier) == 1,
        )

    def _attacks(self, record: VerificationRecord) -> None:
        curves = record.curves
        levels = list(next(iter(curves.values()))["after"].tpr_at)
        self._figure(
            "roc",
            proof.save_roc,
            [curves],
            "Receiver operating characteristic of each "
            "membership attack on logarithmic axes. "
            + "; ".join(
                f"{attack}: AUC before {models['before'].auc:.3f}, after {models['after'].auc:.3f}"
                for attack, models in curves.items()
            ),
            "Membership-inference attacks. Dotted: guessing. Left of the vertical line there are "
            "too few non-members to measure a rate.",
        )
        self._table(
            "attacks",
            "Membership-inference attacks",
            [
                "attack, model",
                "AUC",
                "balanced accuracy",
                *(f"TPR at {float(level):.1%} FPR" for level in levels),
                "non-members",
            ],
            [
                [
                    f"{attack}, {name}",
                    roc.auc,
                    roc.balanced_accuracy,
                    *(
                        roc.tpr_at[level]
                        if roc.resolved[level]
                        else f"{roc.tpr_at[level]:.4g} (not resolved)"
                        for level in levels
                    ),
                    roc.others,
                ]
                for attack, models in curves.items()
                for name, roc in models.items()
            ],
        )
        self._csv(
            "roc",
            ["attack", "model", "fpr", "tpr"],
            [
                [attack, name, x, y]
                for attack, models in curves.items()
                for name, roc in models.items()
                for x, y in zip(roc.fpr, roc.tpr)
            ],
        )
        shadow = record.membership.get("shadow models")
        if shadow:
            self._table(
                "shadow_models",
                "Shadow-model attack: recall on the forget set, and false-positive rate on "
                "similar non-members",
                ["model", "recall", "false-positive rate"],
                [[name, part["recall"], part["fpr"]] for name, part in shadow.more.items()],
            )
        if record.shadows:
            score = record.shadows.challenge
            self._page.paragraph(
                f"NeurIPS 2023 score {_number(score.score)} (F {score.quality:.4g}) over "
                f"{count(record.shadows.count, 'model')} of each kind; by chance, "
                f"indistinguishable models have F {score.chance:.4g}."
            )

    def _inversion(self, entries: Sequence[Inversion]) -> None:
        likeness = "; ".join(
            f"class {self._facts.names.of_class(e.label)}: "
            + ", ".join(
                f"{name} {'-' if v is None else format(v, '.2f')}" for name, v in e.likeness.items()
            )
            for e in entries
        )
        self._figure(
            "inversion",
            proof.save_inversions,
            [entries, self._facts.names],
            "Images that each model assigns to the classes of the forget set. Correlation with "
            f"the mean image of the forget set: {likeness}",
            "Model inversion: images reconstructed from each model, and the mean image of the "
            "forget set. Evidence only if they show something that those of the retrained model "
            "do not; noise-like images are inconclusive.",
        )
        self._table(
            "inversion",
            "Model inversion",
            ["class, model", "cost", "correlation"],
            [
                [f"{self._facts.names.of_class(e.label)}, {name}", e.costs[name], e.likeness[name]]
                for e in entries
                for name in e.costs
            ],
            folded=True,
        )

    def _rounds(self) -> None:
        page, facts = self._page, self._facts
        training = facts.lines if facts.unlearning is None else facts.trained_lines
        page.heading(3, "Round by round")
        if training:
            attacked = [line["round"] for line in training if line["attackers"]]
            pruned = [line["round"] for line in training if line["pruned"]]
            self._figure(
                "training",
                save_curves,
                [training],
                "Test accuracy, attack success and "
                f"source-class error in each of {count(len(training), 'round')} of "
                f"training; test accuracy ends at {_number(training[-1]['test_accuracy'])}. "
                f"{count(len(attacked), 'round')} attacked, {len(pruned)} with pruning.",
                "Training: accuracy, attack success and source-class error, rounds "
                "under attack shaded, prunings dotted.",
            )
            self._table("training", "Training, round by round", *round_table(training), folded=True)
        if facts.unlearning is not None:
            self._figure(
                "unlearning",
                save_recovery,
                [facts.lines, facts.unlearning.measured],
                "Accuracy before unlearning, at the start of recovery and in each of its "
                f"{count(len(facts.lines), 'round')}; on the forget set it ends at "
                f"{_number(facts.unlearning.measured.after.get('forget_accuracy'))}.",
                "Unlearning and recovery; dotted: retrained.",
            )
            self._table(
                "unlearning", "Unlearning, round by round", *round_table(facts.lines), folded=True
            )

    def _behaviour(self) -> None:
        page, profile = self._page, self._facts.profile
        if profile.groups:
            names, rows = profile.groups.groups, profile.groups.rows
            page.heading(3, "By degree of memorization")
            self._figure(
                "groups",
                save_groups,
                [
                    {name: np.array(row.mean, float) for name, row in rows.items()},
                    {name: np.array(row.spread, float) for name, row in rows.items()},
                    names,
                ],
                "Accuracy on the forget set by degree of memorization. "
                + "; ".join(
                    f"{name}: {', '.join(map(_percent, row.mean))}" for name, row in rows.items()
                ),
                "Accuracy by memorization score; unlearning mostly affects the right-hand groups.",
            )
            self._table(
                "groups",
                "Groups of memorization",
                ["model", *names],
                [[name, *row.mean] for name, row in rows.items()],
            )
        if profile.clients:
            page.heading(3, "By client")
            self._figure(
                "clients",
                proof.save_clients,
                [profile.clients, self._facts.names],
                f"Accuracy of {count(len(profile.clients), 'client')} on their own "
                "training data; the table below has the numbers.",
                "Accuracy on each client's own training data.",
            )
            self._table(
                "clients",
                "Clients",
                *beside_retraining("client", "data", profile.clients, self._facts.names.of_client),
                folded=True,
            )
        if profile.confusion:
            page.heading(3, "By class")
            matrices = {
                name: mean_matrix(value)
                for name, value in vars(profile.confusion).items()
                if value not in (None, [])
            }
            self._figure(
                "confusion",
                proof.save_confusion,
                [matrices, self._facts.names],
                f"Confusion matrices of the test examples: {', '.join(matrices)}; the table "
                "below has the accuracy on each class.",
                "Predicted class of the test examples of each class, in percent.",
            )
            self._table(
                "classes",
                "Classes",
                *beside_retraining(
                    "label", "examples", profile.classes, self._facts.names.of_class
                ),
            )
            self._csv(
                "confusion",
                ["model", "true class", "predicted class", "examples"],
                [
                    [name, *map(self._facts.names.of_class, (row, column)), value]
                    for name, matrix in matrices.items()
                    for (row, column), value in np.ndenumerate(np.asarray(matrix))
                ],
            )

    def _origin(self) -> None:
        page, facts = self._page, self._facts
        page.heading(3, "Configuration and checksums")
        for words in facts.missing:
            page.paragraph(words, "note")
        page.paragraph(f"Folder {facts.path}; {facts.weights:,} weights.")
        self._table(
            "checksums",
            "SHA-256 of the files",
            ["file", "SHA-256"],
            list(map(list, facts.checksums.items())),
        )
        self._table(
            "configuration",
            "Configuration",
            ["field", "value"],
            [[name, _plain(value)] for name, value in facts.config.items()],
            folded=True,
        )

    def _figure(
        self, name: str, save: Callable, arguments: Sequence, description: str, caption: str
    ) -> None:
        path = self._folder / f"{self._stem}_{name}.png"
        save(path, *arguments)
        self._page.figure(path, description, caption)

    def _table(
        self,
        name: str,
        caption: str,
        head: Sequence[str],
        rows: Sequence[Sequence],
        *,
        folded: bool = False,
    ) -> None:
        self._page.table(caption, head, rows, folded=folded)
        self._csv(name, head, rows)

    def _csv(self, name: str, head: Iterable[str], rows: Iterable[Iterable]) -> None:
        write_csv(self._folder / f"{self._stem}_{name}.csv", head, rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
