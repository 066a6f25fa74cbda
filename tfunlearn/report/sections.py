"""The sections of a report: what was asked, done, paid and proven, of one run after the other."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfunlearn.core.files import write_csv
from tfunlearn.report import proof
from tfunlearn.report.curves import save_curves
from tfunlearn.report.facts import RunFacts
from tfunlearn.report.groups import save_groups
from tfunlearn.report.page import Page
from tfunlearn.report.recovery import save_recovery
from tfunlearn.report.words import cost_in_words, count, details, recovery, request_in_words

ROUND_COLUMNS = ("round", "phase", "test_accuracy", "test_loss", "attack_success", "source_error",
                 "forget_accuracy", "remain_accuracy", "train_loss", "clients", "seconds")
MEASURES = {"test_accuracy": "test accuracy", "test_loss": "test loss",
            "attack_success": "attack success", "forget_accuracy": "accuracy on forgotten data",
            "remain_accuracy": "accuracy on remaining data"}


class Section:
    """Writes about one run into a page, and its pictures and tables into a folder.

    Args:
        page: the page.
        folder: receives a PNG and a CSV of everything.
        number: of the run, from 1.
        facts: the run.
    """

    def __init__(self, page: Page, folder: str | os.PathLike, number: int, facts: RunFacts):
        self._page, self._folder, self._facts = page, pathlib.Path(folder), facts
        self._stem = f"run{number}"

    def write(self) -> None:
        """Writes it all."""
        page, facts = self._page, self._facts
        page.heading(2, facts.name, kind="run")
        page.paragraph(facts.verdict, f"verdict {facts.word}")
        if facts.notes is not None:
            self._asked()
            self._done()
        self._proof()
        self._rounds()
        self._behaviour()
        self._origin()

    def _asked(self) -> None:
        page, notes = self._page, self._facts.notes
        page.heading(3, "What was asked")
        forgotten = notes["forgotten"]
        page.paragraph(f"Forget {request_in_words(notes['requests'][-1])}: "
                       f"{count(forgotten['examples'], 'example')}"
                       + (f", all that {count(len(forgotten['clients']), 'client')} held"
                          if forgotten["clients"] else "") + ".")
        if len(notes["requests"]) > 1:
            page.paragraph(f"{count(len(notes['requests']) - 1, 'request')} came before: "
                           + "; ".join(request_in_words(r) for r in notes["requests"][:-1]) + ".")

    def _done(self) -> None:
        page, notes = self._page, self._facts.notes
        page.heading(3, "What was done, and what it cost")
        page.paragraph(f"Method {notes['method']}{details(notes['method'], notes['report'])}.")
        page.paragraph(f"Recovery: {recovery(notes)}. Cost: {cost_in_words(notes['cost'])}.")
        self._table("settings", "Settings of the method", ["setting", "value"],
                    [[name, _plain(value)] for name, value in notes["settings"].items()],
                    folded=True)
        measured = notes["measured"]
        titles = [t for t in ("before", "start", "after", "retrained") if measured.get(t)]
        self._table("measured", "Measured by the unlearning itself", ["", *titles], [
            [label, *(measured[title].get(name) for title in titles)]
            for name, label in MEASURES.items()
            if any(measured[title].get(name) is not None for title in titles)])

    def _proof(self) -> None:
        page, record = self._page, self._facts.record
        if record is None:
            return
        page.heading(3, "Proof")
        page.paragraph(f"Held against {count(len(record['retrained']), 'retrained model')} (seeds "
                       f"{', '.join(str(one['seed']) for one in record['retrained'])}), which never "
                       "saw what was forgotten. Noise is how far one more retrained model may lie "
                       "from their mean (95 %), at least the tolerance that was set before.")
        self._table("evidence", "Evidence", ["measure", "before", "after", "retrained, mean",
                                             "noise", "", "of the way"], [
            [e["name"], e["before"], e["after"], e["mean"], e["noise"],
             "within" if e["within"] else "outside",
             None if e["closed"] is None else f"{e['closed']:.0%}"] for e in record["evidence"]])
        self._table("measures", "Accuracy and loss beside retraining", [
            "", "before", "after", "retrained, mean", "retrained, deviation", "gap"],
            [[name, *gap_row(values)] for name, values in record["measures"].items()])
        self._attacks(record)
        if record.get("relearning"):
            relearned = record["relearning"]
            self._figure("relearning", proof.save_relearning, [relearned],
                         "Accuracy on the forgotten data while each model learns it again. "
                         + ", ".join(f"{name}: {'never' if n is None else f'{n} steps'}"
                                     for name, n in relearned["steps"].items()),
                         "Relearning what was forgotten. A model that needs far fewer steps than the "
                         "retrained ones has kept something.")
            self._table("relearning", "Relearning", ["model", "steps", "accuracy"], [
                [name, step, value] for name, points in relearned["curves"].items()
                for step, value in points], folded=True)
        if record.get("inversion"):
            self._inversion(record["inversion"])
        page.heading(3, "What was not tested")
        page.listing(record["not_tested"])

    def _attacks(self, record: dict) -> None:
        curves = proof.curves_of(record)
        levels = list(next(iter(curves.values()))["after"]["tpr_at"])
        self._figure("roc", proof.save_roc, [curves], "Receiver operating characteristic of each "
                     "membership attack on logarithmic axes. " + "; ".join(
                         f"{attack}: AUC before {models['before']['auc']:.3f}, after "
                         f"{models['after']['auc']:.3f}" for attack, models in curves.items()),
                     "Membership attacks. The dotted line is guessing; left of the vertical line "
                     "there are too few non-members to measure.")
        self._table("attacks", "Membership attacks", [
            "attack, model", "AUC", "balanced accuracy",
            *(f"TPR at {float(level):.1%} FPR" for level in levels), "non-members"], [
            [f"{attack}, {name}", roc["auc"], roc["balanced_accuracy"],
             *(roc["tpr_at"][level] if roc["resolved"][level] else
               f"{roc['tpr_at'][level]:.4g} (not resolved)" for level in levels), roc["others"]]
            for attack, models in curves.items() for name, roc in models.items()])
        self._csv("roc", ["attack", "model", "fpr", "tpr"], [
            [attack, name, x, y] for attack, models in curves.items()
            for name, roc in models.items() for x, y in zip(roc["fpr"], roc["tpr"])])
        if record.get("shadows"):
            score = record["shadows"]["challenge"]
            self._page.paragraph(
                f"NeurIPS 2023 score {score['score']:.4g} (F {score['quality']:.4g}) over "
                f"{count(record['shadows']['count'], 'model')} of each kind, which resolve epsilon "
                f"up to {score['epsilon_limit']}; 1 is ideal.")

    def _inversion(self, entries: Sequence[dict]) -> None:
        likeness = "; ".join(
            f"class {e['label']}: " + ", ".join(f"{name} {'-' if v is None else format(v, '.2f')}"
                                                for name, v in e["likeness"].items())
            for e in entries)
        self._figure("inversion", proof.save_inversions, [entries],
                     f"Images that each model takes for the forgotten classes. Likeness to the mean "
                     f"forgotten image, as a correlation: {likeness}",
                     "Model inversion: what each model shows of a class, beside the mean of the "
                     "forgotten images.")
        self._table("inversion", "Model inversion", ["class, model", "cost", "likeness"], [
            [f"{e['label']}, {name}", e["costs"][name], e["likeness"][name]]
            for e in entries for name in e["costs"]], folded=True)

    def _rounds(self) -> None:
        page, facts = self._page, self._facts
        training = facts.lines if facts.notes is None else facts.trained_lines
        page.heading(3, "Round by round")
        if training:
            attacked = [line["round"] for line in training if line["attackers"]]
            pruned = [line["round"] for line in training if line["pruned"]]
            self._figure("training", save_curves, [training], "Test accuracy and attack success in "
                         f"each of {count(len(training), 'round')} of training; test accuracy ends "
                         f"at {_number(training[-1]['test_accuracy'])}. "
                         f"{count(len(attacked), 'round')} attacked, {len(pruned)} with pruning.",
                         "Training: accuracy and attack success, rounds under attack shaded, "
                         "prunings dotted.")
            self._table("training", "Training, round by round", *_round_table(training),
                        folded=True)
        if facts.notes is not None:
            self._figure("unlearning", save_recovery, [facts.lines, facts.notes["measured"]],
                         "Accuracy before unlearning, at the start of recovery and in each of its "
                         f"{count(len(facts.lines), 'round')}; on forgotten data it ends at "
                         f"{_number(facts.notes['measured']['after'].get('forget_accuracy'))}.",
                         "Unlearning and recovery; dotted: retrained.")
            self._table("unlearning", "Unlearning, round by round", *_round_table(facts.lines),
                        folded=True)

    def _behaviour(self) -> None:
        page, profile = self._page, self._facts.profile
        if profile.get("groups"):
            groups = profile["groups"]
            names = groups["groups"]
            rows = {name: groups[name] for name in ("before", "after", "retrained")}
            page.heading(3, "By groups of memorisation")
            self._figure("groups", save_groups, [
                {name: np.array(row["mean"]) for name, row in rows.items()},
                {name: np.array(row["spread"]) for name, row in rows.items()}, names],
                "Accuracy on forgotten data by how much it was memorised. " + "; ".join(
                    f"{name}: {', '.join(f'{100 * v:.0f} %' for v in row['mean'])}"
                    for name, row in rows.items()),
                "What was learned by heart (right) is what forgetting must change.")
            self._table("groups", "Groups of memorisation", ["model", *names], [
                [name, *row["mean"]] for name, row in rows.items()])
        if profile.get("clients"):
            page.heading(3, "By client")
            self._figure("clients", proof.save_clients, [profile["clients"]],
                         f"Accuracy of {count(len(profile['clients']), 'client')} on their own "
                         "training data; the table below has the numbers.",
                         "Accuracy on each client's own training data.")
            self._table("clients", "Clients", *_beside("client", "data", profile["clients"]),
                        folded=True)
        if profile.get("confusion"):
            page.heading(3, "By class")
            matrices = {name: _mean_matrix(value) for name, value in profile["confusion"].items()
                        if value not in (None, [])}
            self._figure("confusion", proof.save_confusion, [matrices],
                         f"Confusion matrices of the test images: {', '.join(matrices)}; the table "
                         "below has the accuracy on each class.",
                         "What test images of each class are taken for, in percent.")
            self._table("classes", "Classes", *_beside("label", "examples", profile["classes"]))
            self._csv("confusion", ["model", "true class", "predicted class", "images"], [
                [name, row, column, value] for name, matrix in matrices.items()
                for (row, column), value in np.ndenumerate(np.asarray(matrix))])

    def _origin(self) -> None:
        page, facts = self._page, self._facts
        page.heading(3, "Configuration and checksums")
        for words in facts.missing:
            page.paragraph(words, "note")
        page.paragraph(f"Folder {facts.path}; {facts.weights:,} weights.")
        self._table("checksums", "SHA-256 of the files", ["file", "SHA-256"],
                    list(map(list, facts.checksums.items())))
        self._table("configuration", "Configuration", ["field", "value"],
                    [[name, _plain(value)] for name, value in facts.config.items()], folded=True)

    def _figure(self, name: str, save: Callable, arguments: Sequence, description: str,
                caption: str) -> None:
        path = self._folder / f"{self._stem}_{name}.png"
        save(path, *arguments)
        self._page.figure(path, description, caption)

    def _table(self, name: str, caption: str, head: Sequence[str], rows: Sequence[Sequence], *,
               folded: bool = False) -> None:
        self._page.table(caption, head, rows, folded=folded)
        self._csv(name, head, rows)

    def _csv(self, name: str, head: Iterable[str], rows: Iterable[Iterable]) -> None:
        write_csv(self._folder / f"{self._stem}_{name}.csv", head, rows)


def side_by_side(page: Page, folder: str | os.PathLike, runs: Sequence[RunFacts]) -> None:
    """Writes a table of several runs, a column each."""
    page.heading(2, "Side by side")
    rows = [["verdict", *(facts.word for facts in runs)],
            ["method", *("trained" if f.notes is None else f.notes["method"] for f in runs)]]
    for name, label in MEASURES.items():
        values = [(f.lines[-1] if f.notes is None and f.lines else
                   {} if f.notes is None else f.notes["measured"]["after"]).get(name) for f in runs]
        if any(value is not None for value in values):
            rows.append([label, *values])
    for name, label in (("rounds", "rounds"), ("client_steps", "client steps"),
                        ("work_seconds", "seconds of work"), ("bytes_up", "bytes sent by clients")):
        rows.append([label, *(None if f.notes is None else f.notes["cost"].get(name)
                              for f in runs)])
    for name in dict.fromkeys(e["name"] for f in runs if f.record for e in f.record["evidence"]):
        rows.append([f"{name}, distance to retraining", *(
            next((e["gap"] for e in (f.record or {"evidence": []})["evidence"]
                  if e["name"] == name), None) for f in runs)])
    head = ["", *(facts.name for facts in runs)]
    page.table("The runs side by side", head, rows)
    write_csv(pathlib.Path(folder) / "side_by_side.csv", head, rows)


def _round_table(lines: Sequence[dict]) -> tuple[list[str], list[list]]:
    names = [name for name in ROUND_COLUMNS if any(line.get(name) is not None for line in lines)]
    return ([name.replace("_", " ") for name in names] + ["attackers", "pruned"], [
        [*(line.get(name) for name in names), len(line["attackers"]), len(line["pruned"])]
        for line in lines])


def _beside(name: str, second: str, entries: Sequence[dict]) -> tuple[list[str], list[list]]:
    """Returns head and rows of accuracy and loss of each entry, before, after and retrained."""
    kinds = [kind for kind in ("before", "after", "retrained")
             if entries[0]["accuracy"].get(kind) not in (None, [])]
    head, told = [name, second], "retrained" in kinds
    for what in ("accuracy", "loss"):
        head += [f"{what}, {kind}" for kind in kinds] + ([f"{what}, gap"] if told else [])
    rows = []
    for entry in entries:
        row = [entry[name], entry[second]]
        for what in ("accuracy", "loss"):
            row += [float(np.mean(entry[what][kind])) for kind in kinds]
            row += [gap_row(entry[what])[-1]] if told else []
        rows.append(row)
    return head, rows


def gap_row(values: dict) -> list[float | None]:
    """Returns a measure before and after, mean and deviation of the retrained models, and the gap
    to their mean; None for what is not known."""
    after = values["after"]
    known = [value for value in values["retrained"] if value is not None]
    mean = float(np.mean(known)) if known else None
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    gap = None if mean is None or after is None else after - mean
    return [values["before"], after, mean, spread, gap]


def _mean_matrix(value) -> list:
    """Returns a matrix, or the mean of several."""
    array = np.asarray(value, float)
    return (array.mean(axis=0) if array.ndim == 3 else array).tolist()


def _plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
