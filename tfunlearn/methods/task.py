"""The unlearning task, and a method's plan for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfunlearn.core.history import HistoryRound
from tfunlearn.core.requests import ForgetRequest
from tfunlearn.federated.client_work import ClientTraining
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.settings import UnlearnSettings
from tfunlearn.methods.source import Source
from tfunlearn.training.federation import Federation


@dataclass(frozen=True)
class UnlearningTask:
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
        """Tells the user something, and keeps it for the record."""
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
    def method(self) -> UnlearningMethod:
        """The method of the settings."""
        return self.settings.unlearning_method

    @property
    def own(self) -> Any:
        """The method's own settings, an instance of `method.settings`."""
        return self.settings.own

    @property
    def recovering(self) -> Federation:
        """The retained federation as it recovers: by plain federated averaging, unless the settings
        keep the run's defenses or training starts from scratch."""
        kept = self.own.keep_defense or self.method.from_scratch
        return self.remaining if kept else self.remaining.undefended()

    @property
    def training(self) -> ClientTraining:
        """The clients' local training during recovery."""
        return self.own.training(self.source.federation.config.training.client)

    @property
    def recovery_rounds(self) -> int:
        """Largest number of recovery rounds under every stop rule but the bound."""
        return self.own.rounds(self.source.training_rounds)

    @property
    def leaving(self) -> Federation:
        """The federation of what is to be forgotten alone, as its holders had it while the attack
        was on, also where it has ended since; nobody attacks in it, and it is averaged plainly."""
        federation = self.source.federation
        held = federation.poisoned.where(self.forgotten)
        return dataclasses.replace(
            federation, clients=held, poisoned=held, malicious=federation.malicious[:0]
        ).undefended()

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
        return sorted(
            {
                label
                for words in self.source.requests
                for label in ForgetRequest.parse(words).classes
            }
        )

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
        return HistoryRound(
            kept.round_number, kept.weights, kept.ids[here], kept.updates[here], kept.examples[here]
        )


@dataclass(frozen=True)
class Plan:
    """How a method goes about a task.

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
