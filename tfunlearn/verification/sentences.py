"""Text of a verdict: one plain sentence, and one with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfunlearn.verification.verdict import Grade

SUBJECTS = {  # metric -> its meaning, for non-specialist readers
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
BROKEN = 0.5  # a model below this share of the retrained models' accuracy no longer works


def plain_sentence(word: str, grades: Sequence[Grade]) -> str:
    """Return one sentence with one number, for non-specialist readers."""
    g = _spoken(word, grades)
    if g is None:
        return f"{OPENINGS[word]}."
    opening, e = OPENINGS[word], g.evidence
    if word == "damaged" and e.after < BROKEN * e.mean:
        opening = "The model no longer works"
    if e.name not in SUBJECTS:
        return f"{opening}: {e.name} {e.after:.3g}, {e.mean:.3g} after retraining without it."
    return (f"{opening}: {e.after:.0%} {SUBJECTS[e.name]}, {e.mean:.0%} after retraining.").replace(
        "%", " %"
    )


def sentence(words: Sequence[str], grades: Sequence[Grade], models: int, needed: int | None) -> str:
    """Return the reasons for a verdict.

    Args:
        words: all verdicts that apply, the main one first.
        grades: the graded metrics.
        models: K, the number of retrained models.
        needed: number of retrained models that would suffice for an inconclusive verdict; None if
            no number would.
    """
    beside = f"{models} retrained model{'s' if models != 1 else ''}"
    if words[0] == "no verdict":
        return (
            f"No verdict: {beside} give{'s' if models == 1 else ''} no usable noise; the "
            "figures stand for themselves. Take three or more, best five (--retrains)."
        )
    if words[0] == "forgotten":
        return _forgotten(grades, beside)
    if words[0] == "not shown":
        return _not_shown(grades, beside, models, needed)
    return " ".join(_outside(word, [g for g in grades if g.outside == word]) for word in words)


def _spoken(word: str, grades: Sequence[Grade]) -> Grade | None:
    """Return the metric that illustrates a verdict: the farthest of those graded with this verdict,
    else the first forgetting metric; metrics of `SUBJECTS` are preferred."""
    chosen = [g for g in grades if g.outside == word] or [
        g for g in grades if not g.evidence.utility
    ]
    chosen.sort(
        key=lambda g: (
            g.evidence.name not in SUBJECTS,
            not g.closed,
            -g.distance if g.outside else 0,
        )
    )
    return chosen[0] if chosen else None


def _outside(word: str, grades: Sequence[Grade]) -> str:
    parts = []
    for g in sorted(grades, key=lambda g: -g.distance):
        e = g.evidence
        if word == "damaged":
            parts.append(f"{e.name} {e.after:.4g}; retraining allows {e.mean:.4g} - {g.noise:.2g}")
        else:
            parts.append(
                f"{e.name} {e.after:.4g}, retrained {e.mean:.4g} ± {g.noise:.2g}, before "
                f"{e.before:.4g}" + _way(g)
            )
    ending = "; that gives itself away too." if word == "over-forgotten" else "."
    return f"{word[0].upper()}{word[1:]}: {'; '.join(parts)}{ending}"


def _way(g: Grade) -> str:
    """Return the closed share of the gap as text; "" unless informative and still remembered."""
    if not g.informative or g.outside != "still remembers":
        return ""
    e = g.evidence
    return f" ({(e.before - e.after) / (e.before - e.mean):.0%} of the way)".replace("%", " %")


def _forgotten(grades: Sequence[Grade], beside: str) -> str:
    speak = [g.evidence.name for g in grades if g.closed]
    mute = [g.evidence.name for g in grades if not g.informative and not g.evidence.utility]
    worth = next((g for g in grades if g.evidence.name == "test accuracy" and g.detectable), None)
    return (
        f"Forgotten: by {_list(speak)} more than half of the way back to retraining; none of "
        f"{len(grades)} measures differs from {beside}."
        + (
            f" A test accuracy lower by {worth.detectable:.2g} is noticed four times in five."
            if worth
            else ""
        )
        + (f" {_list(mute)[:1].upper()}{_list(mute)[1:]} could not tell." if mute else "")
    )


def _not_shown(grades: Sequence[Grade], beside: str, models: int, needed: int | None) -> str:
    tested = [g for g in grades if g.closed is not None]
    if tested:
        still_open = [g.evidence.name for g in tested if not g.closed]
        return (
            "Not shown: nothing differs from retraining for certain, but by "
            f"{_list(still_open)} it is not certain either that more than half of the way "
            f"back is gone ({beside})."
        )
    largest = max(
        (g for g in grades if not g.evidence.utility and g.detectable is not None),
        key=lambda g: g.room,
        default=None,
    )
    if largest is None:
        return f"Not shown: no measure of forgetting could be graded beside {beside}."
    more = (
        f" {needed} would do."
        if needed is not None and needed > models
        else " No number of them would do: the model before is like them."
        if needed is None
        else ""
    )
    e = largest.evidence
    return (
        f"Not shown: nothing differs, but {beside} see only gaps of {e.name} above "
        f"{largest.detectable:.2g} four times in five, and judge forgetting only where the "
        f"model before lay {2 * largest.noise:.2g} off; it lay {abs(e.before - e.mean):.2g} "
        f"off.{more}"
    )


def _list(names: Sequence[str]) -> str:
    return (
        names[0]
        if len(names) == 1
        else f"{', '.join(names[:-1])} and {names[-1]}"
        if names
        else "none"
    )
