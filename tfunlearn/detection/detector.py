"""Declaration of detectors of malicious clients, their findings, and their family.

A file of this folder that defines a `Detector` adds a detector. A detector sees what the server
has, round by round, and never who attacked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfunlearn.aggregation.on_arrays import finite_rows
from tfunlearn.core.blocks import pieces_of
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.families import Family, Method

ALIKE = 1e-6  # relative difference up to which updates are all alike


class ObservedRound(NamedTuple):
    """What the server has of a round.

    Attributes:
        number: the round, counted from 1.
        model: the global model at its start, float32 `(d,)`.
        ids: client ids, `(n,)`.
        updates: float32 `(n, d)`, local minus global weights, in the order of `ids`. A detector may
            keep it until the next round: do not write to it.
        dropped: number of updates of the round that were not finite, and are not among these.
    """

    number: int
    model: np.ndarray
    ids: np.ndarray
    updates: np.ndarray
    dropped: int = 0


@dataclass(frozen=True)
class Server:
    """What a detector may use besides the rounds.

    Attributes:
        f: `n -> f`, the number of malicious clients that the server's rule expects among n.
        seed: seed of the random draws of rules that draw.
        judge: `(model (d,), step (d,)) -> (error rate, cross-entropy)` on the server's own
            examples; None without any.
    """

    f: Callable[[int], int] = lambda n: int(0.2 * n + 1e-9)
    seed: int = 0
    judge: Callable[[np.ndarray, np.ndarray], tuple[float, float]] | None = None


@dataclass(frozen=True)
class Detection:
    """Findings of a detector.

    Attributes:
        detector: its name.
        ids: ids of all clients that were seen, ascending.
        scores: suspicion of each of them, higher is more suspicious; None without a score.
        flagged: ids of the clients that it holds malicious, ascending.
        rounds: numbers of the rounds that were used.
        evidence: what the decision rests on, JSON values.
        remarks: sentences on how far the findings go.
    """

    detector: str
    ids: tuple[int, ...]
    scores: tuple[float | None, ...]
    flagged: tuple[int, ...]
    rounds: tuple[int, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Tracker(Protocol):
    """A detector at work."""

    def add(self, seen: ObservedRound) -> None:
        """Take a round; its updates are finite."""
        ...

    def decide(self) -> tuple[Mapping[int, float], Iterable[int], Mapping[str, Any]]:
        """Return scores by id, flagged ids, and evidence."""
        ...


@dataclass(frozen=True, kw_only=True)
class Detector(Method):
    """A detector of malicious clients.

    Attributes:
        begin: `(own settings, Server) -> Tracker`.
        least_rounds: `own settings -> number of rounds` that it needs.
        least_clients: number of clients that it needs.
        consecutive: whether the rounds must follow each other.
        needs_judge: whether it needs examples of the server.
        remarks: sentences on how far its findings go.
        tried_with: settings with which the conformance suite tests it.
    """

    begin: Callable[[Any, Server], Tracker]
    least_rounds: Callable[[Any], int] = lambda own: 1
    least_clients: int = 3
    consecutive: bool = False
    needs_judge: bool = False
    remarks: tuple[str, ...] = ()
    tried_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def following(self) -> str:
        """What its rounds must do, in words that follow their number; empty if nothing."""
        return " that follow each other" if self.consecutive else ""


DETECTORS: Family[Detector] = Family(
    "detector",
    field="detector",
    kind=Detector,
    package="tfunlearn.detection",
)


class Watch:
    """A detector that watches the rounds as they come.

    A client with a non-finite update is flagged for it, and the update takes no part in anything
    else. If all updates agree to 1e-6 in every round, nobody is flagged.

    Args:
        detector: the detector.
        own: its settings.
        server: what it may use besides the rounds.

    Raises:
        UserError: it needs the server's examples, and there are none.
    """

    def __init__(self, detector: Detector, own: Any = None, server: Server = Server()):
        self._detector, self._own = detector, detector.settings() if own is None else own
        if detector.needs_judge and server.judge is None:
            raise UserError(
                f"detector: {detector.name} needs examples of the server (train "
                "--validation-examples); got none"
            )
        self._tracker = detector.begin(self._own, server)
        self._rounds: list[int] = []
        self._seen: set[int] = set()
        self._broken: set[int] = set()
        self._differ = False

    def add(self, seen: ObservedRound) -> None:
        """Take a round.

        Raises:
            UserError: the rounds do not follow each other, for a detector that needs it.
        """
        if self._detector.consecutive and self._rounds and seen.number != self._rounds[-1] + 1:
            raise UserError(
                f"detector: {self._detector.name} needs rounds that follow each other; got "
                f"{seen.number} after {self._rounds[-1]} (--history all keeps them)"
            )
        order = np.argsort(seen.ids, kind="stable")
        if (order != np.arange(len(order))).any():  # ties do not depend on the order of arrival
            seen = seen._replace(ids=seen.ids[order], updates=seen.updates[order])
        finite = finite_rows(seen.updates)
        self._seen.update(map(int, seen.ids))
        self._broken.update(map(int, seen.ids[~finite]))
        if not finite.all():
            seen = ObservedRound(
                seen.number,
                seen.model,
                seen.ids[finite],
                seen.updates[finite],
                int(np.count_nonzero(~finite)),
            )
        self._rounds.append(seen.number)
        self._differ = self._differ or not all_alike(seen.updates)
        self._tracker.add(seen)

    def decide(self) -> Detection:
        """Return the findings so far.

        Raises:
            UserError: too few rounds or clients; the message says how many are needed.
        """
        lacking = self._lacking()
        if lacking is not None:
            raise UserError(lacking)
        ids = sorted(self._seen)
        if self._differ:
            scores, flagged, evidence = self._tracker.decide()
        else:
            scores, flagged = dict.fromkeys(ids, 0.0), ()
            evidence = {"all_alike": True}
        broken = {"not_finite": sorted(self._broken)} if self._broken else {}
        return Detection(
            self._detector.name,
            tuple(ids),
            tuple(None if k not in scores else float(scores[k]) for k in ids),
            tuple(sorted({*map(int, flagged), *self._broken})),
            tuple(self._rounds),
            {**evidence, **broken},
            self._detector.remarks,
        )

    def _lacking(self) -> str | None:
        """Return why there is no decision yet, None if there can be one."""
        name, rounds = self._detector.name, self._detector.least_rounds(self._own)
        if len(self._rounds) < rounds:
            return (
                f"detector: {name} needs {rounds} rounds{self._detector.following}; got "
                f"{len(self._rounds)}; train at least {rounds} rounds with --history all"
            )
        if len(self._seen) < self._detector.least_clients:
            return (
                f"detector: {name} needs {self._detector.least_clients} clients; got "
                f"{len(self._seen)}"
            )
        return None


def detect(
    detector: str | Detector,
    rounds: Iterable[ObservedRound],
    *,
    server: Server = Server(),
    **settings: Any,
) -> Detection:
    """Return the clients that a detector holds malicious.

    Args:
        detector: name in `DETECTORS`, or a detector.
        rounds: the rounds, in order; each is read once.
        server: what the detector may use besides them.
        **settings: its own settings, such as `window=10`.

    Raises:
        UserError: unknown name, a setting out of range, too few rounds or clients.
    """
    found = DETECTORS.find(DETECTORS.name_of(detector))
    own = dataclasses.replace(found.settings(), **settings) if settings else found.settings()
    watch = Watch(found, own, server)
    for seen in rounds:
        watch.add(seen)
    return watch.decide()


def observed(updates: Any, models: Any, ids: Any = None) -> list[ObservedRound]:
    """Return rounds of arrays, for `detect`.

    Args:
        updates: `(rounds, n, d)`, or a sequence of stacks `(n, d)`.
        models: the global model at the start of each round, `(rounds, d)`.
        ids: client ids of each stack; default 0 to n - 1.

    Raises:
        UserError: the shapes do not fit each other.
    """
    require("models", len(models), len(models) == len(updates), f"one per round ({len(updates)})")
    found = []
    for number, (stack, model) in enumerate(zip(updates, models), start=1):
        stack = np.ascontiguousarray(stack, np.float32)
        model = np.asarray(model, np.float32)
        if stack.ndim != 2 or model.shape != stack.shape[1:]:
            raise UserError(
                f"updates: must be (n, d), and the model (d,), in round {number}; got "
                f"{stack.shape} and {model.shape}"
            )
        own = np.arange(len(stack)) if ids is None else np.asarray(ids[number - 1])
        require("ids", own.shape, own.shape == (len(stack),), f"({len(stack)},) in round {number}")
        found.append(ObservedRound(number, model, own, stack))
    return found


def all_alike(updates: np.ndarray) -> bool:
    """Return whether all rows agree with the first to 1e-6 of its largest entry."""
    if len(updates) < 2:
        return True
    largest = ALIKE * float(np.abs(updates[0]).max())  # alike rows share it
    return all(bool((np.abs(part - part[0]) <= largest).all()) for part in pieces_of(updates))
