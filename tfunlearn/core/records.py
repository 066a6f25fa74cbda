"""The record of an unlearning, as stored in `unlearning.json` and shared between packages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfunlearn.core.json_values import from_json

Metrics = dict[str, Any]  # metric -> number, None where it cannot be measured


@dataclass(frozen=True)
class Cost:
    """Total cost of an unlearning.

    Attributes:
        rounds: number of rounds in which clients trained.
        seconds: wall time, evaluation included.
        work_seconds: seconds of the rounds and of the method's own step, without evaluation.
        client_steps: number of optimizer steps of all clients.
        bytes_down: bytes of models sent to clients, float32.
        bytes_up: bytes of updates sent by clients, float32.
        server_storage_bytes: bytes of kept history that the method read.
    """

    rounds: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    client_steps: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    server_storage_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Cost(*(a + b for a, b in zip(mine, others)))

    def rounded(self) -> Cost:
        """Return the cost with seconds rounded to the millisecond."""
        return Cost(*(round(value, 3) for value in dataclasses.astuple(self)))


@dataclass(frozen=True)
class Forgotten:
    """Size of a forget set.

    Attributes:
        clients: ids of the clients without remaining examples.
        examples: number of examples.
    """

    clients: list[int]
    examples: int


@dataclass(frozen=True)
class Measured:
    """Metrics of the models of an unlearning.

    Attributes:
        before: metrics of the model before unlearning.
        start: metrics of the model that recovery starts from.
        after: metrics of the unlearned model.
        retrained: metrics of the retrained model, None without one.
    """

    before: Metrics
    start: Metrics
    after: Metrics
    retrained: Metrics | None = None

    def of(self, title: str) -> Metrics | None:
        """Return the metrics of `before`, `start`, `after` or `retrained`."""
        return getattr(self, title)


@dataclass(frozen=True)
class Recovered:
    """Outcome of the recovery.

    Attributes:
        stop: the stop rule.
        reached: whether accuracy on the retain set is back within a percentage point.
        bound, plateau, target: number of rounds that these rules would have taken, None if more
            than were run.
    """

    stop: str
    reached: bool
    bound: int | None = None
    plateau: int | None = None
    target: int | None = None


@dataclass(frozen=True)
class UnlearningRecord:
    """Request, settings, results and cost of an unlearning.

    Attributes:
        key: hash of everything that determines the new run.
        weights_key: hash of everything that determines its weights.
        method: name or specification of the method.
        settings: its own settings.
        seed: seed of the random draws.
        source: path of the run that was unlearned.
        source_checkpoint_sha256: checksum of its weights.
        requests: the terms of every request so far, this one last.
        forgotten: size of this forget set.
        restarts: whether training started from scratch.
        waited_rounds: number of rounds before the method could begin.
        rounds_before: rounds of the federation before the new run.
        training_rounds: number of rounds of the training from scratch.
        settles_after: warm-up rounds excluded from stop rules.
        unlearned_after_round: round of the federation after which the model has forgotten.
        rounds: number of recovery rounds.
        report: the method's own findings.
        measured: metrics of all models.
        recovered: outcome of the recovery.
        failed: why the model is unusable, None if the unlearning succeeded.
        damaged: description of the damage to the retained data, None if there is none.
        warnings: warning messages.
        dropped: terms of the request whose examples were forgotten before.
        unknown: identifiers of the request that no example has.
        held_out: identifiers of the request of test examples, which were not trained on.
        identifiers: identifiers of the request that were found.
        detections: findings of detectors that the request took its clients from: `found`, `since`,
            `settings`.
        reason: why the method was chosen, None if the user named it.
        reference: path of the retrained run, None without one.
        checkpoint_sha256: checksum of the unlearned weights.
        cost: total cost.
        method_origin: origin of the method, None for a built-in one.
    """

    key: str
    weights_key: str
    method: str
    settings: dict[str, Any]
    seed: int
    source: str
    source_checkpoint_sha256: str
    requests: list[list[str]]
    forgotten: Forgotten
    restarts: bool
    waited_rounds: int
    rounds_before: int
    training_rounds: int
    unlearned_after_round: int
    rounds: int
    report: dict[str, Any]
    measured: Measured
    recovered: Recovered
    checkpoint_sha256: str
    cost: Cost
    settles_after: int = 0
    failed: str | None = None
    damaged: str | None = None
    warnings: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    reference: str | None = None
    method_origin: dict[str, Any] | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> UnlearningRecord:
        """Return the record of a JSON object; fields unknown to earlier builds get their defaults.

        Raises:
            TypeError: a field is missing, unknown or of another structure.
        """
        return from_json(cls, dict(content))

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        found = dataclasses.asdict(self)
        if self.method_origin is None:
            del found["method_origin"]
        return found
