"""Output of `tfunlearn train`: bar and live table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import collections
import shlex
from typing import Any

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tfunlearn.attacks import Classes
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core import compute
from tfunlearn.core.fields import fields_of
from tfunlearn.datasets import partition_kind
from tfunlearn.report.summaries import count
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.callbacks import TrainingCallbacks
from tfunlearn.training.engine import engine_of
from tfunlearn.training.federation import Federation
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole

LAST_ROUNDS = 8
MANY_CLASSES, FEW_EACH = 20, 10
COLUMNS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "attack_success": "attack success",
    "source_error": "source error",
}


def engine_words(config: RunConfig) -> str:
    """Return in words what runs the clients: engine, version, place, threads."""
    engine, inside = engine_of(config), compute.threads_inside()
    package = {"tff": "tensorflow-federated"}.get(engine.name, engine.name)
    threads = f"{inside} thread{'s' if inside > 1 else ''} inside each"
    version = engine.versions().get(package, "of unknown version")
    return f"{engine.name} {version} on the {engine.where()}, {threads}"


class TrainingDisplay(TrainingCallbacks):
    """Show a training run in progress; a context manager.

    Args:
        config: the run's configuration.
    """

    def __init__(self, config):
        self._config = config
        self._console = PlainConsole()
        self._lines = collections.deque(maxlen=LAST_ROUNDS)
        self._progress = Progress(
            TextColumn("round"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("round", total=config.training.rounds)
        self._live, self._path, self._broken, self._finished = None, None, False, 0

    def __enter__(self):
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._picture, refresh_per_second=4
            )
            self._live.start()
        else:
            self._say("loading TensorFlow")
        return self

    def __exit__(self, kind, *_):
        if self._live is not None:
            self._live.stop()
        if self._path is not None and signals.stopped(kind):
            last = self._lines[-1]["round"] if self._lines else self._finished
            self._say(f"stopped   after round {last}; tfunlearn resume {self._path} continues")

    def on_damage(self, words: str) -> None:
        """Print a description of damage."""
        self._say(f"warning: {words}")

    def on_start(
        self, directory: RunDirectory, federation: Federation, model, finished: int
    ) -> None:
        """Print what will be trained, after `finished` rounds."""
        config, data = self._config, federation.data
        self._say(
            f"data      {data.name}: {len(data.labels)} training and "
            f"{len(data.test_labels)} test examples, {data.classes} classes{_imbalance(data)}, "
            f"{len(federation.clients)} clients ({config.data.partition})"
        )
        if data.classes > MANY_CLASSES and len(data.labels) < FEW_EACH * data.classes:
            self._say(
                f"warning: {data.classes} classes of {len(data.labels)} examples; if the labels "
                "measure or count something, make a few classes of it"
            )
        natural = partition_kind(config.data.partition)[0] in ("writers", "column", "file")
        if data.writers is not None and not natural:
            owners = len(np.unique(data.writers))
            self._say(
                f"warning: the clients are shares of all examples ({config.data.partition}), not "
                f"the {owners} clients that the data name; --partition writers keeps them"
            )
        self._say(f"model     {model.name}: {model.count_params():,} parameters")
        self._names = federation.names
        self._say(f"attack    {self._attack(federation)}")
        self._say(f"server    {self._server(federation.config, model)}")
        self._say(f"engine    {engine_words(config)}")
        self._say(f"run       {directory.path}")
        self._path, self._finished = directory.path, finished
        self._progress.update(self._task, completed=finished)
        if finished:
            self._say(f"resume    after round {finished} of {config.training.rounds}")

    def on_round_end(self, line: dict) -> None:
        """Show a finished round."""
        signals.check()
        self._lines.append(line)
        self._progress.update(self._task, advance=1)
        for client in line["dropped"]:
            self._say(
                f"warning: update of client {client} in round {line['round']} was not "
                "finite and was dropped"
            )
        if line["test_loss"] is None and not self._broken:
            self._broken = True
            self._say(f"warning: the model of round {line['round']} is not finite")
        if self._live is None:
            values = "  ".join(f"{title} {number(line[name])}" for name, title in COLUMNS.items())
            total = self._config.training.rounds
            self._say(
                f"round {line['round']:>{len(str(total))}}/{total}  {values}  "
                f"{line['seconds']:.2f} s{_marks(line)}"
            )

    def finish(self, run) -> None:
        """Print the final metrics, the files of the run, and possible next commands."""
        last, path = run.metrics[-1], run.directory.path
        self._say(
            f"done      {count(last['round'], 'round')}: test accuracy "
            f"{number(last['test_accuracy'])}, attack success "
            f"{number(last['attack_success'])}, source error "
            f"{number(last['source_error'])}{_means(run.metrics)}"
        )
        dropped = sum(len(line["dropped"]) for line in run.metrics)
        if dropped:
            self._say(
                f"warning: {dropped} updates were not finite and were dropped; see 'dropped' "
                "in metrics.jsonl"
            )
        self._say(f"files     {path}: model.keras, metrics.jsonl, curves.png, tensorboard/")
        kept = [line for line in run.metrics if "history_bytes" in line]
        if kept:
            policy = self._config.history
            stay = [line for line in kept if line is kept[-1] or policy.stays(line["round"])]
            size = sum(line["history_bytes"] for line in stay)
            self._say(
                f"history   {len(stay)} round{'s' * (len(stay) > 1)} kept for unlearning, "
                f"{size / 1e6:,.1f} MB"
            )
            self._say(
                f"next      tfunlearn unlearn {shlex.quote(str(path))}"
                + (
                    ""
                    if len(run.federation.malicious)
                    else " --client 0  (or --class, --examples: no client attacked)"
                )
            )
        else:
            self._say("history   none kept; --history last keeps what most unlearning needs")
        self._say(f"next      tfunlearn evaluate {shlex.quote(str(path))}")

    def _attack(self, federation) -> str:
        attack = federation.config.attack
        if not len(federation.malicious):
            return "none"
        rounds = self._config.training.rounds
        if attack.attack_start > rounds:
            return (
                f"none (warning: attack_start {attack.attack_start} lies after the last "
                f"round, {rounds})"
            )
        stop = min(attack.attack_stop or rounds, rounds)
        text = (
            f"{self._what(attack)} by clients "
            f"{', '.join(map(self._names.of_client, federation.malicious))} in "
            f"rounds {attack.attack_start} to {stop}"
        )
        if attack.boost is not None:
            text += f", boost {attack.boost:g}"
        if attack.on_data:
            text += f", {federation.poisoned_examples} examples poisoned"
            if not federation.poisoned_examples:
                source = self._names.of_class(attack.classes.source)
                text += f" (warning: no malicious client holds class {source})"
        return text

    def _what(self, attack) -> str:
        named: Any = map(self._names.of_class, attack.classes)
        classes = Classes(*named)
        words = [
            name
            + (
                method.describe(own, classes)
                if attack.on_data and method is attack.on_data[0]
                else ""
            )
            for name, (method, own) in zip(attack.attack, attack.methods())
        ]
        if attack.on_updates:
            words.append(f"({attack.on_updates[1].knowledge} knowledge)")
        return " + ".join(words).replace(" + (", " (")

    def _server(self, config: RunConfig, model) -> str:
        """Return aggregation rule and defenses in words.

        Args:
            config: that of the federation, which has counted natural clients.
            model: the model.
        """
        rule = config.aggregator
        f = f" (f={rule.f(config.participants)})" if rule.method.takes_f else ""
        steps = [name + given_settings(own) for name, (_, own) in zip(rule.before, rule.steps)]
        chain = " after ".join([rule.rule + f + given_settings(rule.own), *reversed(steps)])
        words = {
            id(one): one.describe(model, own, config.gathers)
            for one, own in config.defense.on_model
        }
        named = [
            name + (f" ({words[id(one)]})" if words.get(id(one)) else given_settings(own))
            for name, (one, own) in zip(config.defense.defense, config.defense.methods())
        ]
        return f"rule {chain}; {', '.join(named) or 'no defense after it'}"

    def _picture(self):
        if not self._lines:
            return Group("loading TensorFlow ...", self._progress)
        table = Table("round", *COLUMNS.values(), "seconds", "", box=None)
        for line in self._lines:
            table.add_row(
                str(line["round"]),
                *(number(line[name]) for name in COLUMNS),
                f"{line['seconds']:.2f}",
                _marks(line).strip(),
            )
        return Group(table, self._progress)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._console.file.flush()


def _imbalance(data) -> str:
    """Return the share of the largest and the smallest class, where they differ by half."""
    shares = np.bincount(data.labels, minlength=data.classes) / len(data.labels)
    if shares.max() < 1.5 * shares.min():
        return ""
    most, least = int(shares.argmax()), int(shares.argmin())
    return (
        f" ({data.class_name(most)}: {shares[most]:.1%}, {data.class_name(least)}: "
        f"{shares[least]:.1%})"
    )


def given_settings(own: Any) -> str:
    """Return the settings that differ from their defaults as ` (name value, ...)`, else nothing."""
    named = [
        f"{name} {getattr(own, name)}"
        for name, field in fields_of(type(own)).items()
        if getattr(own, name) != field.default
    ]
    return f" ({', '.join(named)})" if named else ""


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _means(lines: list[dict]) -> str:
    """Return attack success and source error averaged over the attacked rounds, in words."""
    attacked = [line for line in lines if line["attackers"]]
    means = []
    for name in ("attack_success", "source_error"):
        values = [line[name] for line in attacked]
        if not values or None in values:
            return ""
        means.append(number(sum(values) / len(values)))
    return f" ({' and '.join(means)} on average over {len(attacked)} attacked rounds)"


def _marks(line: dict) -> str:
    return ("  attacked" if line["attackers"] else "") + ("  pruned" if line["pruned"] else "")
