"""The unlearning task and a method's plan for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfunlearn.core.history import HistoryRound
from tfunlearn.core.requests import ForgetRequest
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.methods.callbacks import SILENT, UnlearningCallbacks
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.settings import UnlearnSettings
from tfunlearn.methods.source import Source
from tfunlearn.runs.detections import StoredDetection
from tfunlearn.training.federation import Federation


@dataclass(frozen=True)
class UnlearningTask:
    """An unlearning task: the run, the forget set, the retain set and the settings.

    Attributes:
        settings: the method and its settings.
        source: the run to unlearn from.
        forgotten: forget set of this request, bool `(N,)`.
        remaining: federation of the retain set: without this and all earlier forget sets.
        flagged: ids of the clients that the request leaves without any example.
        seed: seed of the unlearning's random draws.
        watch: callbacks of the unlearning.
        keeps: whether rounds are kept, if the run's history settings say so.
        dropped: terms of the request that match no example left to forget.
        unknown: identifiers of the request that no example has.
        held_out: identifiers of the request that are of test examples.
        identifiers: identifiers of the request that were found.
        detections: findings of detectors that the request took its clients from.
        reason: why the method was chosen if the user named none; else None.
        warnings: warnings for the user; filled during the unlearning.
    """

    settings: UnlearnSettings
    source: Source
    forgotten: np.ndarray
    remaining: Federation
    flagged: np.ndarray
    seed: int
    watch: UnlearningCallbacks = SILENT
    keeps: bool = True
    dropped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    detections: tuple[StoredDetection, ...] = ()
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)

    def caution(self, words: str) -> None:
        """Warn the user, once per message, and record the warning."""
        if words not in self.warnings:
            self.warnings.append(words)
            self.watch.on_warning(words)

    def tell(self, report: dict) -> None:
        """Report findings of the method in the middle of its rounds, JSON values."""
        self.watch.on_report(report)

    def track(self, steps: Sequence) -> Iterable:
        """Return the steps of a measurement before the first round, wrapped to show progress."""
        return self.watch.track(steps)

    @property
    def honest(self) -> np.ndarray:
        """Ids of the flagged clients that never attacked; detected ones count as attackers."""
        if self.detections:
            detected = [k for one in self.detections for k in one.found.flagged]
            return np.setdiff1d(self.flagged, detected)
        federation = self.source.federation
        attacked = any(map(federation.attacked, range(1, self.source.training_rounds + 1)))
        return np.setdiff1d(self.flagged, federation.malicious) if attacked else self.flagged

    @property
    def request(self) -> str:
        """The complete request, as the user entered it."""
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
        """The retain-set federation during recovery: plain federated averaging, unless the
        settings keep the run's defenses or training starts from scratch."""
        kept = self.own.keep_defense or self.method.from_scratch
        return self.remaining if kept else self.remaining.undefended()

    @property
    def training(self) -> ClientTraining:
        """The clients' local training during recovery."""
        return self.own.training(self.source.federation.client_training)

    @property
    def recovery_rounds(self) -> int:
        """Largest number of recovery rounds under every stop rule except `bound`."""
        return self.own.rounds(self.source.training_rounds)

    @property
    def leaving(self) -> Federation:
        """The federation of the forget set alone, with the data its holders had during the
        attack, even if the attack has ended since. No client attacks, and updates are averaged
        plainly."""
        federation = self.source.federation
        held = federation.poisoned.where(self.forgotten)
        return dataclasses.replace(
            federation, clients=held, poisoned=held, malicious=federation.malicious[:0]
        ).undefended()

    @property
    def overlap(self) -> float:
        """Share of the forget set's examples that a remaining client holds too, 0 to 1."""
        federation = self.source.federation
        rows = np.concatenate(federation.parts)
        stays = np.unique(rows[~(self.forgotten | self.source.forget_mask)])
        return float(np.isin(rows[self.forgotten], stays).mean())

    @property
    def forgotten_classes(self) -> list[int]:
        """The classes that the request names."""
        return list(ForgetRequest.parse(self.settings.forget).classes)

    @property
    def classes_only(self) -> bool:
        """Whether the request names only classes."""
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
        """Mask of the forget set over the examples of `source.remaining`, bool."""
        return self.forgotten[~self.source.forget_mask]

    def read(self, number: int) -> HistoryRound:
        """Return a kept round without the clients of earlier forget sets."""
        kept = self.source.history.read(number)
        here = np.isin(kept.ids, np.union1d(self.remaining.clients.present, self.flagged))
        if here.all():
            return kept
        return HistoryRound(
            kept.round_number, kept.weights, kept.ids[here], kept.updates[here], kept.examples[here]
        )


@dataclass(frozen=True)
class Plan:
    """A method's plan for a task.

    Attributes:
        start: weights that recovery starts from.
        rounds: maximum number of recovery rounds.
        stop: stop rule that may end recovery earlier (plateau or target); with any other rule all
            rounds are run.
        training: local training of its rounds.
        restarts: whether training restarts from scratch: rounds count from 1 again, and rounds kept
            before are no longer usable.
        report: findings of the method, JSON values.
        cost: cost of the method's work before the first round.
        rounds_by: `(keep or None) -> run_round`, replaces ordinary rounds; or None.
        cohort: `(round) -> Cohort`, replaces client sampling; or None.
        cost_of: `round -> Cost`, replaces the cost of one training of the cohort; or None.
        settles_after: number of initial rounds that start from a model that has not forgotten yet;
            stop rules, later methods and the time to peak skip them.
        entries: number of weight entries sent each way; default all.
        remote: whether clients train in the TFF worker.
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
