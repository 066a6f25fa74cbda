"""What a report tells of one run: plain values, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass, field

WORDS = {"forgotten": "forgotten", "still remembers": "still remembers",
         "over-forgotten": "over-forgotten", "damaged": "damaged", "not shown": "not shown",
         "no verdict": "no verdict",
         "partly": "partly forgotten (older rule)", "not": "not forgotten (older rule)"}


@dataclass(frozen=True)
class RunFacts:
    """One run.

    Attributes:
        name: name of its folder.
        path: the folder.
        config: its configuration, flat.
        lines: the lines of its `metrics.jsonl`.
        weights: number of weights of the model.
        checksums: file to SHA-256.
        notes: what `unlearning.json` says, None of a trained run.
        trained_lines: of the run before, where it is still there; else empty.
        record: the newest verification, None if there is none.
        earlier: folder, verdict and settings of every verification of this model, the newest last.
        profile: `classes`, `clients`, `confusion` and `groups` as a verification has them, of
            what there is of the models before, after and retrained.
        missing: what is not known, and why, in words.
        method_words: what the unlearning method did, in words, empty if nothing is known.
        is_reference: whether it is a retrained model, which others are compared with.
    """

    name: str
    path: str
    config: dict
    lines: list[dict]
    weights: int
    checksums: dict[str, str]
    notes: dict | None = None
    trained_lines: list[dict] = field(default_factory=list)
    record: dict | None = None
    earlier: list[dict] = field(default_factory=list)
    profile: dict = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    method_words: str = ""
    is_reference: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in a sentence that needs no words of the field; what to do for one if there
        is none."""
        if self.failed:
            return f"This unlearning failed, its model is of no use: {self.failed}."
        if self.record is not None:
            return self.record["verdict"].get("plain") or self.record["verdict"]["sentence"]
        if self.notes is not None and self.notes.get("damaged"):
            return (f"This unlearning has damaged the model: {self.notes['damaged']}. It is not "
                    f"verified yet: tfunlearn verify {self.path} gives a verdict.")
        if self.notes is None:
            return "This run has forgotten nothing: it is a trained model."
        if self.is_reference:
            return ("This model was retrained without the forgotten data; others are held "
                    "against it.")
        return ("Not verified yet: the figures below are what the unlearning measured itself. "
                f"tfunlearn verify {self.path} gives a verdict.")

    @property
    def failed(self) -> str | None:
        """Why the unlearning failed, None if it did not."""
        return None if self.notes is None else self.notes.get("failed")

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.failed:
            return "failed"
        return "not verified" if self.record is None else WORDS[self.record["verdict"]["word"]]

    @property
    def mark(self) -> str:
        """What the page colours the verdict by."""
        if self.failed:
            return "failed"
        return "unknown" if self.record is None else self.record["verdict"]["word"].replace(" ", "-")
