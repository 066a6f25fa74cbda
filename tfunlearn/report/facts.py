"""Contents of a report on one run, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfunlearn.core.records import UnlearningRecord

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
        earlier: folder, verdict, number of retrained models and settings of every verification of
            this model, the latest last.
        profile: `classes`, `clients`, `confusion` and `groups` as in a verification, for those of
            the models before, after and retrained that are available.
        missing: sentences on the facts that are unknown, with the reason.
        method_words: description of the method's record, empty if there is none.
        is_reference: whether the run was retrained as a reference.
    """

    name: str
    path: str
    config: dict
    lines: list[dict]
    weights: int
    checksums: dict[str, str]
    unlearning: UnlearningRecord | None = None
    trained_lines: list[dict] = field(default_factory=list)
    record: dict | None = None
    earlier: list[dict] = field(default_factory=list)
    profile: dict = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    method_words: str = ""
    is_reference: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in one plain sentence, or how to obtain one if there is none."""
        if self.failed:
            return f"This unlearning failed, its model is of no use: {self.failed}."
        if self.record is not None:
            return self.record["verdict"].get("plain") or self.record["verdict"]["sentence"]
        if self.unlearning is not None and self.unlearning.damaged:
            return (
                f"This unlearning has damaged the model: {self.unlearning.damaged}. It is not "
                f"verified yet: tfunlearn verify {self.path} gives a verdict."
            )
        if self.unlearning is None:
            return "This run has forgotten nothing: it is a trained model."
        if self.is_reference:
            return (
                "This model was retrained without the forgotten data; others are held against it."
            )
        return (
            "Not verified yet: the figures below are what the unlearning measured itself. "
            f"tfunlearn verify {self.path} gives a verdict."
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
        return "not verified" if self.record is None else WORDS[self.record["verdict"]["word"]]

    @property
    def mark(self) -> str:
        """CSS class that sets the color of the verdict."""
        if self.failed:
            return "failed"
        return (
            "unknown" if self.record is None else self.record["verdict"]["word"].replace(" ", "-")
        )
