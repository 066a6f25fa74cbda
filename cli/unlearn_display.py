"""What `tfunlearn unlearn` shows: a bar on a terminal, plain lines in a pipe, a table at last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tfunlearn.experiment.unlearning import Watch
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.display import number

ROWS = {
    "test_accuracy": "test accuracy", "test_loss": "test loss",
    "attack_success": "attack success", "source_error": "source error",
    "forget_accuracy": "forgotten data, accuracy",
    "poisoned_accuracy": "poisoned among them, accuracy",
    "remain_accuracy": "remaining data, accuracy",
    "forget_test_accuracy": "forgotten classes, test accuracy",
    "remain_test_accuracy": "other classes, test accuracy",
}
COARSE = 0.01  # effects that come in larger steps hardly tell channels apart


class UnlearningDisplay:
    """Shows an unlearning while it goes on; a context manager."""

    def __init__(self, run: str):
        self._run, self._console = run, PlainConsole()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=self._console,
            disable=not self._console.is_terminal)
        self._task, self._rounds, self._begun, self._method = None, 0, False, ""

    def __enter__(self):
        self._say("loading TensorFlow Federated")
        self._progress.start()
        return self

    def __exit__(self, kind, *_):
        self._progress.stop()
        if kind in (KeyboardInterrupt, SystemExit) and self._begun:
            self._say("stopped   nothing half done is left; the same command goes on from what is "
                      "finished")

    def watch(self) -> Watch:
        """Returns what an unlearning is to call."""
        return Watch(start=self.start, plan=self.plan, round=self.round, track=self.track,
                     reference=self.reference, reference_round=self.reference_round)

    def start(self, case, waiting: int, target) -> None:
        """Says what is about to be done."""
        self._begun, source, self._method = True, case.source, case.settings.method
        remaining = case.remaining.clients
        self._say(f"run       {self._run}: {_count(source.rounds, 'round')}")
        self._say(f"forget    {self._request(case)}")
        self._say(f"remain    {_count(len(remaining.present), 'client')} with "
                  f"{_count(len(remaining.labels), 'example')}")
        if waiting:
            self._say(f"wait      {_count(waiting, 'round')} without the forgotten: from one "
                      f"unlearning to the next there are at least {case.settings.rate_limit} "
                      "(--rate-limit)")
            self._rounds = waiting
            self._task = self._progress.add_task("waiting", total=waiting)

    def track(self, steps: Sequence) -> Iterator:
        """Shows a bar while the steps of a measurement are gone through."""
        task = self._progress.add_task("measuring", total=len(steps))
        for step in steps:
            signals.check()
            yield step
            self._progress.update(task, advance=1)
        self._progress.remove_task(task)

    def plan(self, plan) -> None:
        """Says what the method will do."""
        self._say(f"method    {self._method}{_details(self._method, plan.report)}")
        for line in _remarks(plan.report):
            self._say(line)
        if plan.rounds:
            self._rounds += plan.rounds
            self._task = self._progress.add_task("recovery", total=plan.rounds)

    def round(self, line: dict) -> None:
        """Shows a finished round."""
        signals.check()
        self._progress.update(self._task, advance=1)
        self._line(line, self._rounds, line["phase"])

    def reference(self, rounds: int) -> None:
        """Says that the retraining for comparison begins."""
        if self._task is not None:  # a stop rule may have ended it early
            self._progress.remove_task(self._task)
        self._say(f"retrain   {rounds} rounds from scratch, for comparison (--no-reference leaves "
                  "it out)")
        self._rounds = rounds
        self._task = self._progress.add_task("retraining", total=rounds)

    def reference_round(self, line: dict) -> None:
        """Shows a finished round of the retraining."""
        signals.check()
        self._progress.update(self._task, advance=1)
        if line["round"] in (1, self._rounds) or line["round"] % 10 == 0:
            self._line(line, self._rounds, "retrain")

    def finish(self, run) -> None:
        """Shows before, after and retrained, the cost, and where everything lies."""
        notes = run.notes
        if not run.new:
            self._say(f"found     {run.directory.path}, unlearned so earlier; {notes['method']} "
                      f"of {_words(notes['requests'][-1])}")
        measured = notes["measured"]
        titles = [title for title in ("before", "after", "retrained") if measured[title]
                  and (title, notes["method"]) != ("after", "retrain")]
        table = Table("", *titles, box=None)
        for name, label in ROWS.items():
            if any(measured[title].get(name) is not None for title in titles):
                table.add_row(label, *(number(measured[title].get(name)) for title in titles))
        rounds = {"before": str(notes["rounds_before"] or notes["training_rounds"]),
                  "after": _trained(notes), "retrained": str(notes["training_rounds"])}
        table.add_row("rounds of training", *(rounds[title] for title in titles))
        PlainConsole(width=100).print(table)
        self._say(f"recovery  {_recovery(notes)}")
        if notes["recovered"]["stop"] == "target" and not notes["recovered"]["reached"]:
            self._say("warning: accuracy on the remaining data is more than a point below before")
        self._say(f"cost      {_cost(notes['cost'])}" + ("" if run.new else " (then)"))
        self._say(f"files     {run.directory.path}: model.keras, unlearning.json, metrics.jsonl, "
                  "curves.png")
        if notes["reference"]:
            self._say(f"retrained {notes['reference']}")

    def _request(self, case) -> str:
        words = []
        if len(case.flagged):
            ids = ", ".join(map(str, case.flagged[:20])) + (", ..." if len(case.flagged) > 20
                                                           else "")
            words.append(f"client{'s' * (len(case.flagged) > 1)} {ids}")
        parts = [word for word in case.settings.forget if not word.startswith("client:")]
        words += [_words(parts)] if parts else []
        poisoned = int((case.forgotten & case.source.federation.changed).sum())
        return (f"{', '.join(words)}: {_count(int(case.forgotten.sum()), 'example')}"
                + (f", {poisoned} of them poisoned" if poisoned else ""))

    def _line(self, line: dict, rounds: int, phase: str) -> None:
        if self._console.is_terminal:
            return
        values = "  ".join(f"{label} {number(line[name])}" for name, label in (
            ("test_accuracy", "test"), ("forget_accuracy", "forgotten"),
            ("remain_accuracy", "remaining"), ("attack_success", "attack success")))
        self._say(f"{phase:<8}  round {line['round']:>{len(str(rounds))}}/{rounds}  {values}  "
                  f"{line['seconds']:.2f} s")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._console.file.flush()


def _words(request: list[str]) -> str:
    return ", ".join(request[:5]) + (", ..." if len(request) > 5 else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _details(method: str, report: dict) -> str:
    """Returns what a method reports, in words."""
    words = []
    if "history_round" in report:
        words.append(f"from kept round {report['history_round']}")
    if "history_rounds" in report:
        words.append(f"from {_count(len(report['history_rounds']), 'kept round')}, "
                     f"{_count(report['local_epochs'], 'local epoch')}")
    if "fraction" in report:
        estimate, words_of = report.get("estimate"), f"fraction {report['fraction']:.4f}"
        if estimate and estimate["z"] is not None:
            words_of += (f" (auto: P = {estimate['p_max'] - estimate['p_min']:.2f} z^"
                         f"{estimate['gamma']:g} + {estimate['p_min']:g}, z {estimate['z']:.4f}, "
                         f"mean cosine {estimate['similarity']:.4f} of {estimate['clients']} "
                         "benign clients)")
        words.append(words_of + (", which only sets the number of rounds" if method == "exclude"
                                 else ""))
    if "zeroed" in report:
        words.append(f"{sum(z['entries'] for z in report['zeroed'].values()):,} of "
                     f"{sum(z['of'] for z in report['zeroed'].values()):,} kernel entries zeroed")
    if "probe" in report:
        words.append(_channels(report))
    if "pruned" in report:
        words.append(f"{sum(map(len, report['pruned'].values()))} of "
                     f"{sum(report['channels'].values())} channels of "
                     f"{_count(len(report['channels']), 'convolution')} pruned")
    if "negated" in report:
        words.append(f"negated {', '.join(report['negated'])}")
    if "ascents" in report:
        steps = sum(ascent["steps"] for ascent in report["ascents"])
        words.append(f"{_count(steps, 'step')} of ascent within {report['radius']:.3g}")
    return ": " + "; ".join(words) if words else ""


def _channels(report: dict) -> str:
    """Returns which channels ablation-channel trains, in words."""
    chosen = sum(map(len, report["selected"].values()))
    return (f"{report['mode']}; {report['selection']} channels, {chosen} of "
            f"{sum(report['channels'].values())} in {_count(len(report['channels']), 'layer')}: "
            f"{report['entries']:,} of {report['of']:,} weights; "
            f"{_count(report['samples'], 'sample')}"
            + (f" {report['origin']}" if report["origin"] else ""))


def _remarks(report: dict) -> list[str]:
    """Returns what else is to be said of a plan before its first round."""
    if "probe" not in report:
        return []
    probe, lines = report["probe"], []
    if report["extension"]:
        lines.append("extension the paper forgets whole classes; "
                     f"{', '.join(report['extension'])}: by the same steps")
    lines.append(f"keeps     {_count(report['perturbation']['examples'], 'example')} to be "
                 "forgotten stay in use, wrongly labelled, until the last round")
    if probe["resolution"] > COARSE:
        lines.append(f"warning: a probe of {_count(probe['examples'], 'example')} tells effects "
                     f"apart in steps of {probe['resolution']:.3g}; in {len(probe['undecided'])} "
                     f"of {_count(len(report['channels']), 'layer')} the loss decided between "
                     "equal ones")
    return lines


def _trained(notes: dict) -> str:
    """Returns the rounds that lie behind the model after unlearning."""
    own = notes["rounds"] + notes["waited_rounds"]
    return str(own) if notes["restarts"] else f"{notes['rounds_before']} + {own}"


def _recovery(notes: dict) -> str:
    recovered = notes["recovered"]
    words = [f"{_count(notes['rounds'], 'round')}, stop {recovered['stop']}"]
    if notes["waited_rounds"]:
        words.append(f"after {_count(notes['waited_rounds'], 'round')} of waiting")
    for name in ("bound", "plateau", "target"):
        if name != recovered["stop"] and recovered[name]:
            words.append(f"{name} after {recovered[name]}")
    return "; ".join(words)


def _cost(cost: dict) -> str:
    size = {name: f"{cost[name] / 1e6:,.1f} MB" for name in (
        "bytes_down", "bytes_up", "server_storage_bytes")}
    return (f"{_count(cost['rounds'], 'round')} of clients, {cost['seconds']:.1f} s, "
            f"{_count(cost['client_steps'], 'client step')}, {size['bytes_down']} down, "
            f"{size['bytes_up']} up, {size['server_storage_bytes']} kept at the server")
