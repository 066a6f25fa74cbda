"""Contents of a report on one run, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tfunlearn.core.names import Names
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.core.verification_record import (
    ClassMetrics,
    ClientMetrics,
    ConfusionMatrices,
    MemorizationGroups,
    VerificationRecord,
)
from tfunlearn.detection import Detection

WORDS = {
    "forgotten": "forgotten",
    "still remembers": "still remembers",
    "over-forgotten": "over-forgotten",
    "damaged": "damaged",
    "not shown": "not shown",
    "no verdict": "no verdict",
    "partly": "partly forgotten (older rule)",
    "not": "not forgotten (older rule)",
}


@dataclass(frozen=True)
class Profile:
    """Behavior of the models before, after and retrained, as far as they are available.

    Attributes:
        classes, clients: accuracy and loss by class and by client.
        confusion: confusion matrices of the test images.
        groups: accuracy by memorization.
    """

    classes: list[ClassMetrics] = field(default_factory=list)
    clients: list[ClientMetrics] = field(default_factory=list)
    confusion: ConfusionMatrices | None = None
    groups: MemorizationGroups | None = None


@dataclass(frozen=True)
class PastVerification:
    """One verification of a run, for a table of all of them.

    Attributes:
        folder: its folder within the run directory.
        verdict: the verdict as a short label.
        retrained: number of retrained models.
        settings: its settings.
    """

    folder: str
    verdict: str
    retrained: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """Contents of a report on one run.

    Attributes:
        name: name of the run's folder.
        path: the folder.
        config: the run's configuration, flat.
        lines: the lines of the run's `metrics.jsonl`.
        weights: number of weights of the model.
        checksums: file to SHA-256.
        unlearning: content of `unlearning.json`, None for a trained run.
        trained_lines: the lines of the source run's `metrics.jsonl`; empty if it no longer exists.
        record: the latest verification, None if there is none.
        earlier: every verification of this model, the latest last.
        profile: behavior by class, client and memorization.
        missing: sentences on the facts that are unknown, with the reason.
        method_words: description of the method's record, empty if there is none.
        is_reference: whether the run was retrained as a reference.
        names: names of classes and clients.
        detections: findings of detectors: those behind the request, of a trained run all.
        since: for each of them, the round from which on each flagged client stayed flagged.
        attackers: ids of the clients that attacked, None where that is unknown.
    """

    name: str
    path: str
    config: dict
    lines: list[dict]
    weights: int
    checksums: dict[str, str]
    unlearning: UnlearningRecord | None = None
    trained_lines: list[dict] = field(default_factory=list)
    record: VerificationRecord | None = None
    earlier: list[PastVerification] = field(default_factory=list)
    profile: Profile = Profile()
    missing: list[str] = field(default_factory=list)
    method_words: str = ""
    is_reference: bool = False
    names: Names = Names()
    detections: list[Detection] = field(default_factory=list)
    since: list[tuple[int, ...]] = field(default_factory=list)
    attackers: tuple[int, ...] | None = None

    @property
    def verdict(self) -> str:
        """The verdict in one plain sentence, or how to obtain one if there is none."""
        if self.failed:
            return f"This unlearning failed, and its model is unusable: {self.failed}."
        if self.record is not None:
            return self.record.verdict.plain or self.record.verdict.sentence
        if self.unlearning is not None and self.unlearning.damaged:
            return (
                f"This unlearning has damaged the model: {self.unlearning.damaged}. Not verified "
                f"yet; run tfunlearn verify {self.path} for a verdict."
            )
        if self.unlearning is None:
            return "A trained model; nothing was unlearned."
        if self.is_reference:
            return "A model retrained without the forget set: the reference of other runs."
        return (
            "Not verified yet; the values below were measured by the unlearning run. Run "
            f"tfunlearn verify {self.path} for a verdict."
        )

    @property
    def failed(self) -> str | None:
        """The reason why the unlearning failed, None if it did not."""
        return None if self.unlearning is None else self.unlearning.failed

    @property
    def word(self) -> str:
        """The verdict as a short label."""
        if self.failed:
            return "failed"
        return "not verified" if self.record is None else WORDS[self.record.verdict.word]

    @property
    def mark(self) -> str:
        """CSS class that sets the color of the verdict."""
        if self.failed:
            return "failed"
        return "unknown" if self.record is None else self.record.verdict.word.replace(" ", "-")
