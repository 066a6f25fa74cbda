"""The record of an unlearning, as `unlearning.json` holds it and other rooms read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Metrics = dict[str, Any]  # metric -> number, None where it cannot be measured


@dataclass(frozen=True)
class Cost:
    """Cost of an unlearning, summed.

    Attributes:
        rounds: rounds in which clients worked.
        seconds: wall time, evaluation included.
        work_seconds: seconds of the rounds and of the method's own step, without evaluation.
        client_steps: optimizer steps of all clients.
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
        """Return the cost with seconds to the millisecond."""
        return Cost(*(round(value, 3) for value in dataclasses.astuple(self)))


@dataclass(frozen=True)
class Forgotten:
    """Size of a forget set.

    Attributes:
        clients: ids of clients of which nothing remains.
        examples: number of examples.
    """

    clients: list[int]
    examples: int


@dataclass(frozen=True)
class Measured:
    """Metrics of the models of an unlearning.

    Attributes:
        before: of the model that was unlearned.
        start: of the model that recovery starts from.
        after: of the unlearned model.
        retrained: of the retrained model, None without one.
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
    """How recovery went.

    Attributes:
        stop: the stop rule.
        reached: whether accuracy on the retain set is back within a point.
        bound, plateau, target: rounds that these rules would have taken, None if more than there
            were.
    """

    stop: str
    reached: bool
    bound: int | None = None
    plateau: int | None = None
    target: int | None = None


@dataclass(frozen=True)
class UnlearningRecord:
    """What an unlearning was asked, did, measured and cost.

    Attributes:
        key: hash of everything that decides the new run.
        weights_key: hash of everything that decides its weights.
        method: name or specification of the method.
        settings: its own settings.
        seed: of the random draws.
        source: path of the run that was unlearned.
        source_checkpoint_sha256: checksum of its weights.
        requests: the words of every request so far, this one last.
        forgotten: size of this forget set.
        restarts: whether training started from scratch.
        waited_rounds: rounds before the method could begin.
        rounds_before: rounds of the federation before the new run.
        training_rounds: rounds of the training from scratch.
        settles_after: warm-up rounds excluded from stopping rules.
        unlearned_after_round: round of the federation after which the model has forgotten.
        rounds: rounds of recovery.
        report: values of the method's own.
        measured: metrics of all models.
        recovered: how recovery went.
        failed: why the model is of no use, None if it is.
        damaged: what was lost on the retained data, in words, None if nothing was.
        warnings: in words.
        dropped: words of the request that were forgotten before.
        reason: why the method was chosen, None if the user named it.
        reference: path of the retrained run, None without one.
        checkpoint_sha256: checksum of the unlearned weights.
        cost: what it cost.
        method_origin: where a method that is not built in came from.
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
    reason: str | None = None
    reference: str | None = None
    method_origin: dict[str, Any] | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> UnlearningRecord:
        """Return the record of a JSON object; fields that earlier builds did not have get defaults.

        Raises:
            KeyError, TypeError: a field is missing, unknown or of another type.
        """
        nested = {
            "forgotten": Forgotten,
            "measured": Measured,
            "recovered": Recovered,
            "cost": Cost,
        }
        return cls(
            **{
                name: nested[name](**value) if name in nested else value
                for name, value in content.items()
            }
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        found = dataclasses.asdict(self)
        if self.method_origin is None:
            del found["method_origin"]
        return found
