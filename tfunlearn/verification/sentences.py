"""A verdict in words: one plain sentence, and one with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUBJECTS = {  # measure -> what a share of it means to a reader outside the field
    "forgotten accuracy": "of the examples to be forgotten recognised",
    "test accuracy": "of test images right",
    "remaining accuracy": "of the remaining training images right",
    "attack success": "of the attack's test images still taken for its target",
    "forgotten confidence": "confidence in the labels of the examples to be forgotten",
}
OPENINGS = {
    "forgotten": "The model behaves as if it had never seen what it was to forget",
    "still remembers": "The model still knows what it was to forget",
    "over-forgotten": "The model avoids what it was to forget, which gives it away",
    "damaged": "The model has lost accuracy on what it was to keep",
    "not shown": "It cannot be told whether the model has forgotten",
    "no verdict": "There are too few retrained models for a verdict",
}
BROKEN = 0.5  # share of the retrained models' accuracy below which a model no longer works


@dataclass(frozen=True)
class Finding:
    """One graded measure, as far as sentences need it; see `verdict.Grade`."""

    name: str
    before: float
    after: float
    mean: float
    noise: float
    outside: str | None
    informative: bool
    closed: bool | None
    detectable: float | None
    utility: bool


def plain_sentence(word: str, findings: Sequence[Finding]) -> str:
    """Returns one sentence with one figure that somebody without the field's words understands."""
    f = _spoken(word, findings)
    if f is None:
        return f"{OPENINGS[word]}."
    opening = OPENINGS[word]
    if word == "damaged" and f.after < BROKEN * f.mean:
        opening = "The model no longer works"
    if f.name not in SUBJECTS:
        return (f"{opening}: {f.name} {f.after:.3g}, {f.mean:.3g} after retraining without it.")
    return f"{opening}: {f.after:.0%} {SUBJECTS[f.name]}, {f.mean:.0%} after retraining.".replace(
        "%", " %")


def sentence(
    words: Sequence[str], findings: Sequence[Finding], models: int, needed: int | None
) -> str:
    """Returns the reasons for a verdict.

    Args:
        words: all that apply.
        findings: the measures.
        models: K, retrained models.
        needed: how many would do, where nothing could be shown; None if none would.
    """
    beside = f"{models} retrained model{'s' if models != 1 else ''}"
    if words[0] == "no verdict":
        return (f"No verdict: {beside} give{'s' if models == 1 else ''} no usable noise; the "
                "figures stand for themselves. Take three or more, best five (--retrains).")
    if words[0] == "forgotten":
        return _forgotten(findings, beside)
    if words[0] == "not shown":
        return _not_shown(findings, beside, models, needed)
    return " ".join(_outside(word, [f for f in findings if f.outside == word]) for word in words)


def _spoken(word: str, findings: Sequence[Finding]) -> Finding | None:
    """Returns the measure whose figure speaks for a verdict: outside it the farthest, else the
    first of forgetting; a share that everybody understands before others."""
    chosen = [f for f in findings if f.outside == word] or [f for f in findings if not f.utility]
    chosen.sort(key=lambda f: (f.name not in SUBJECTS, not f.closed,
                               -abs(f.after - f.mean) / (f.noise or 1) if f.outside else 0))
    return chosen[0] if chosen else None


def _outside(word: str, findings: Sequence[Finding]) -> str:
    parts = []
    for f in sorted(findings, key=lambda f: -abs(f.after - f.mean) / (f.noise or 1e-12)):
        if word == "damaged":
            parts.append(f"{f.name} {f.after:.4g}; retraining allows {f.mean:.4g} - {f.noise:.2g}")
        else:
            parts.append(f"{f.name} {f.after:.4g}, retrained {f.mean:.4g} ± {f.noise:.2g}, before "
                         f"{f.before:.4g}" + _way(f))
    ending = "; that gives itself away too." if word == "over-forgotten" else "."
    return f"{word[0].upper()}{word[1:]}: {'; '.join(parts)}{ending}"


def _way(f: Finding) -> str:
    """Returns how far back it came, where the measure can tell and it did not go too far."""
    if not f.informative or f.outside != "still remembers":
        return ""
    return f" ({(f.before - f.after) / (f.before - f.mean):.0%} of the way)".replace("%", " %")


def _forgotten(findings: Sequence[Finding], beside: str) -> str:
    speak = [f.name for f in findings if f.closed]
    mute = [f.name for f in findings if not f.informative and not f.utility]
    worth = next((f for f in findings if f.name == "test accuracy" and f.detectable), None)
    return (f"Forgotten: by {_listed(speak)} more than half of the way back to retraining; none of "
            f"{len(findings)} measures differs from {beside}."
            + (f" A test accuracy lower by {worth.detectable:.2g} is noticed four times in five."
               if worth else "")
            + (f" {_listed(mute)[:1].upper()}{_listed(mute)[1:]} could not tell." if mute else ""))


def _not_shown(findings: Sequence[Finding], beside: str, models: int, needed: int | None) -> str:
    tested = [f for f in findings if f.closed is not None]
    if tested:
        open_ = [f for f in tested if not f.closed]
        return ("Not shown: nothing differs from retraining for certain, but by "
                f"{_listed([f.name for f in open_])} it is not certain either that more than half "
                f"of the way back is gone ({beside}).")
    largest = max((f for f in findings if not f.utility and f.detectable is not None),
                  key=lambda f: abs(f.before - f.mean) / (f.noise or 1e-12), default=None)
    if largest is None:
        return f"Not shown: no measure of forgetting could be graded beside {beside}."
    more = (f" {needed} would do." if needed is not None and needed > models else
            " No number of them would do: the model before is like them." if needed is None else "")
    return (f"Not shown: nothing differs, but {beside} see only gaps of {largest.name} above "
            f"{largest.detectable:.2g} four times in five, and judge forgetting only where the "
            f"model before lay {2 * largest.noise:.2g} off; it lay "
            f"{abs(largest.before - largest.mean):.2g} off.{more}")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names \
        else "none"
