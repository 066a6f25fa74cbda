"""What is to be forgotten from what, what a method plans, and what it may demand of the case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.errors import UserError, require
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.requests import ForgetRequest
from tfunlearn.training.federation import Federation
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.settings import (
    CLASS_RATIO, DEFAULT_ROUNDS, METHODS, OTHER_RATIO, UnlearnSettings)
from tfunlearn.methods.source import Source
from tfunlearn.federated.client_work import ClientTraining

ADAPTIVE = dict.fromkeys(("adam", "adamw", "fisher"), 1e-3)  # learning rates that they bring
NEED_NOTHING = ("retrain", "finetune", "not", "rapid-retrain", "ablation-channel", "cdp",
                "memorization", "fedosd", "fedau")
KINDS = ("clients", "classes", "examples")
TAKES = {  # the requests that a method takes, where not any
    "fedup": ("clients",), "exclude": ("clients",), "federaser": ("clients",), "pga": ("clients",),
    "fedrecovery": ("clients",), "cdp": ("classes",)}
ANEW = ("retrain", "rapid-retrain")  # what they give does not depend on the run's own weights


@dataclass(frozen=True)
class Case:
    """What is to be forgotten, from what.

    Attributes:
        settings: the method and its knobs.
        source: the run.
        forgotten: examples of this request, bool `(N,)`.
        remaining: the federation without them and without what was forgotten before.
        flagged: ids of the clients that the request leaves with nothing.
        seed: of what the unlearning draws.
        track: wraps the steps of a measurement before the first round, to show progress.
        tell: called with what a method has found out in the middle of its rounds, JSON values.
        keeps: whether rounds are kept, if the run's history says so.
        dropped: words of the request that had nothing left to forget.
        reason: why the method was chosen, where the user named none; else None.
        warnings: what the user should know, in words; filled while the unlearning goes on.
        warn: called with each of them.
    """

    settings: UnlearnSettings
    source: Source
    forgotten: np.ndarray
    remaining: Federation
    flagged: np.ndarray
    seed: int
    track: Callable[[Sequence], Iterable] = iter
    tell: Callable[[dict], None] = lambda _: None
    keeps: bool = True
    dropped: tuple[str, ...] = ()
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    warn: Callable[[str], None] = lambda _: None

    def caution(self, words: str) -> None:
        """Tells the user something, and keeps it for the notes."""
        if words not in self.warnings:
            self.warnings.append(words)
            self.warn(words)

    @property
    def honest(self) -> np.ndarray:
        """Ids of the clients that leave and never attacked."""
        federation = self.source.federation
        attacked = any(map(federation.attacked, range(1, self.source.training_rounds + 1)))
        return np.setdiff1d(self.flagged, federation.malicious) if attacked else self.flagged

    @property
    def request(self) -> str:
        """The request as it was asked, whole."""
        return " ".join(self.settings.forget)

    @property
    def parameters(self) -> int:
        """Number of weights of the model."""
        return self.source.model.count_params()

    @property
    def recovering(self) -> Federation:
        """The remaining federation as it recovers: by plain federated averaging, if not told."""
        kept = self.settings.keep_defense or self.settings.method in ANEW
        return self.remaining if kept else self.remaining.undefended()

    @property
    def training(self) -> ClientTraining:
        """The local training of recovery, as the settings have it, else as the run had it."""
        settings, own = self.settings, self.source.federation.config.training.client
        usual = "adam" if settings.method in ("fedup", "exclude") else own.optimizer
        optimizer, lr = settings.recovery_optimizer or usual, settings.recovery_lr
        fresh = settings.method in ("fedup", "exclude") or optimizer != own.optimizer
        if lr is None and fresh:
            lr = ADAPTIVE.get(optimizer)
        require("recovery_lr", lr, lr is not None or optimizer == own.optimizer,
                f"a number, since the run was trained with {own.optimizer}, not {optimizer}")
        return dataclasses.replace(
            own, optimizer=optimizer, lr=own.lr if lr is None else lr,
            local_epochs=settings.recovery_epochs or own.local_epochs)

    @property
    def recovery_rounds(self) -> int:
        """Most rounds of recovery under every stop rule but the bound."""
        if self.settings.recovery_rounds is not None:
            return self.settings.recovery_rounds
        rule = self.settings.rule
        return DEFAULT_ROUNDS if rule == "rounds" else self.source.training_rounds

    @property
    def ratio(self) -> float:
        """Share of the weights that memorization resets."""
        if self.settings.ratio is not None:
            return self.settings.ratio
        return CLASS_RATIO if self.classes_only else OTHER_RATIO

    @property
    def leaving(self) -> Federation:
        """The federation of what is to be forgotten alone, as its holders had it while the attack
        was on, also where it has ended since; nobody attacks in it, and it is averaged plainly."""
        federation = self.source.federation
        held = federation.poisoned.where(self.forgotten)
        return dataclasses.replace(federation, clients=held, poisoned=held,
                                   malicious=federation.malicious[:0]).undefended()

    @property
    def overlap(self) -> float:
        """Share of the forgotten examples that somebody who stays holds too."""
        federation = self.source.federation
        rows = np.concatenate(federation.parts)
        stays = np.unique(rows[~(self.forgotten | self.source.gone)])
        return float(np.isin(rows[self.forgotten], stays).mean())

    @property
    def forgotten_classes(self) -> list[int]:
        """The classes that the request names."""
        return list(ForgetRequest.parse(self.settings.forget).classes)

    @property
    def classes_only(self) -> bool:
        """Whether the request names classes and nothing else."""
        return all(word.startswith("class:") for word in self.settings.forget)

    @property
    def earlier_classes(self) -> list[int]:
        """The classes that earlier requests named."""
        return sorted({label for words in self.source.requests
                       for label in ForgetRequest.parse(words).classes})

    @property
    def forgotten_here(self) -> np.ndarray:
        """Which examples of `source.remaining` are to be forgotten, bool."""
        return self.forgotten[~self.source.gone]

    def read(self, number: int) -> HistoryRound:
        """Returns a kept round without the clients that were forgotten before."""
        kept = self.source.history.read(number)
        here = np.isin(kept.ids, np.union1d(self.remaining.clients.present, self.flagged))
        if here.all():
            return kept
        return HistoryRound(kept.round_number, kept.weights, kept.ids[here], kept.updates[here],
                            kept.examples[here])


@dataclass(frozen=True)
class Plan:
    """How a method goes about a case.

    Attributes:
        start: weights that recovery starts from.
        rounds: most rounds of recovery.
        stop: rule that may end it earlier: plateau or target; else it takes all rounds.
        training: local training of its rounds.
        restarts: whether it begins anew: rounds count from 1 again, and what was kept before is
            of no more use.
        report: what the method has to say, JSON values.
        cost: of what it did before the first round.
        rounds_by: `(keep or None) -> run_round` in place of ordinary rounds, or None.
        cohort: `(round) -> Cohort` in place of drawn clients, or None.
        cost_of: `round -> Cost` in place of one training of the cohort, or None.
        settles_after: how many of its rounds still begin with a model that has not forgotten:
            stop rules, later methods and the time to peak look at what comes after them.
        entries: how many entries of the weights travel each way; default all.
        remote: whether clients work, in TFF's worker.
    """

    start: list[np.ndarray]
    rounds: int
    stop: str
    training: ClientTraining
    restarts: bool = False
    report: dict = field(default_factory=dict)
    cost: Cost = Cost()
    rounds_by: Callable | None = None
    cohort: Callable | None = None
    cost_of: Callable | None = None
    settles_after: int = 0
    entries: int | None = None
    remote: bool = True


def in_words(numbers: Iterable[int], what: str) -> str:
    """Returns `client 3`, `clients 3, 4`; of many the first ten."""
    numbers = [int(number) for number in numbers]
    return (f"{what}{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers[:10]))}"
            + (", ..." if len(numbers) > 10 else ""))


def methods_for(case: Case, *, without_history: bool = False) -> str:
    """Returns the methods that take the case's request, as a list in words.

    Args:
        case: the task.
        without_history: only those that need nothing of what the run has kept.
    """
    kind = "classes" if case.classes_only else "clients" if covers_clients(case) else "examples"
    names = [name for name in METHODS if kind in TAKES.get(name, KINDS)
             and (not without_history or name in NEED_NOTHING)]
    if "exclude" not in names:
        names.append("exclude (with --fraction)")
    return ", ".join(names)


def covers_clients(case: Case) -> bool:
    """Tells whether the request takes whole clients and nothing else."""
    held = case.source.remaining.clients
    return int(case.forgotten.sum()) == int(held.sizes[case.flagged].sum())


def require_majority(case: Case) -> None:
    """Raises a `UserError` unless fewer clients are to be forgotten than remain."""
    flagged, benign = len(case.flagged), len(case.remaining.clients.present)
    require("forget", f"{flagged} of {flagged + benign} clients", flagged < benign,
            "fewer than half, since fedup needs a benign majority")


def missing_history(case: Case, need: str, flag: str) -> UserError:
    """Returns the error for a history that does not hold what a method needs."""
    rounds = case.source.history.rounds
    kept = "no round" if not rounds else f"round {rounds[0]}" if len(rounds) == 1 else (
        f"{len(rounds)} rounds, {rounds[0]} to {rounds[-1]}")
    lost = f" (the run before it, {case.source.lost}, is gone or was changed)" if (
        case.source.lost) else ""
    return UserError(f"history: {case.settings.method} needs {need}; this run has kept {kept}"
                     f"{lost}; train with --history {flag}, or take a method that needs none: "
                     f"{methods_for(case, without_history=True)}")


def require_whole_clients(case: Case) -> None:
    """Raises a `UserError` unless the request takes whole clients and nothing else."""
    if not covers_clients(case):
        raise UserError(f"forget: {case.request!r} is not allowed with {case.settings.method}; "
                        f"allowed are whole clients. This request is taken by {methods_for(case)}")


def round_of_both_groups(case: Case, majority: bool = True) -> HistoryRound:
    """Returns the newest kept round in which forgotten and remaining clients took part.

    Rounds that began before the last unlearning was done do not count: their models still hold what
    was forgotten then.
    """
    if majority:
        require_majority(case)
    last = case.source.last_unlearning or 0
    for number in reversed([n for n in case.source.history.rounds if n > last]):
        kept = case.read(number)
        flagged = int(np.isin(kept.ids, case.flagged).sum())
        benign = len(kept.ids) - flagged
        if flagged and benign and (flagged < benign or not majority):
            return kept
    who = "flagged clients and more benign ones" if majority else "forgotten and remaining clients"
    since = f", later than the last unlearning (round {last})" if last else ""
    raise missing_history(case, f"a round with {who}{since}", "last (all, if clients are sampled)")
