"""Text of a verdict: one plain sentence, and one with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfunlearn.verification.verdict import Grade

SUBJECTS = {  # metric -> its meaning, for non-specialist readers
    "forgotten accuracy": "of the forget set classified correctly",
    "test accuracy": "of the test images classified correctly",
    "remaining accuracy": "of the retained training images classified correctly",
    "attack success": "of the attack's test images classified as its target",
    "forgotten confidence": "confidence in the labels of the forget set",
}
OPENINGS = {
    "forgotten": "The model behaves as if it had never been trained on the forget set",
    "still remembers": "The model still remembers the forget set",
    "over-forgotten": "The model avoids the labels of the forget set, revealing what was forgotten",
    "damaged": "The model has lost accuracy on the data that it was to retain",
    "not shown": "The evidence does not show whether the model has forgotten",
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
        return f"{opening}: {e.name} {e.after:.3g}, {e.mean:.3g} for retrained models."
    return (
        f"{opening}: {e.after:.0%} {SUBJECTS[e.name]}, {e.mean:.0%} for retrained models."
    ).replace("%", " %")


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
            f"No verdict: {beside} give{'s' if models == 1 else ''} no usable noise estimate; "
            "only the values are reported. Train at least three, better five (--retrains)."
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
    ending = "; this too reveals what was forgotten." if word == "over-forgotten" else "."
    return f"{word[0].upper()}{word[1:]}: {'; '.join(parts)}{ending}"


def _way(g: Grade) -> str:
    """Return the closed share of the gap as text; "" unless informative and still remembered."""
    if not g.informative or g.outside != "still remembers":
        return ""
    e = g.evidence
    return f" ({(e.before - e.after) / (e.before - e.mean):.0%} of the gap closed)".replace(
        "%", " %"
    )


def _forgotten(grades: Sequence[Grade], beside: str) -> str:
    speak = [g.evidence.name for g in grades if g.closed]
    mute = [g.evidence.name for g in grades if not g.informative and not g.evidence.utility]
    worth = next((g for g in grades if g.evidence.name == "test accuracy" and g.detectable), None)
    return (
        f"Forgotten: {_list(speak)} closed more than half of the gap to retraining; none of "
        f"{len(grades)} metrics differs significantly from {beside}."
        + (
            f" A drop in test accuracy of {worth.detectable:.2g} would be detected with 80 % power."
            if worth
            else ""
        )
        + (f" Not informative: {_list(mute)}." if mute else "")
    )


def _not_shown(grades: Sequence[Grade], beside: str, models: int, needed: int | None) -> str:
    tested = [g for g in grades if g.closed is not None]
    if tested:
        still_open = [g.evidence.name for g in tested if not g.closed]
        return (
            "Not shown: no metric differs significantly from retraining, but "
            f"{_list(still_open)} did not significantly close more than half of the gap "
            f"({beside})."
        )
    largest = max(
        (g for g in grades if not g.evidence.utility and g.detectable is not None),
        key=lambda g: g.room,
        default=None,
    )
    if largest is None:
        return f"Not shown: no forgetting metric could be graded against {beside}."
    more = (
        f" {needed} retrained models would suffice."
        if needed is not None and needed > models
        else " No number of retrained models would suffice: the original model resembles them."
        if needed is None
        else ""
    )
    e = largest.evidence
    return (
        f"Not shown: no metric differs significantly, but with {beside} gaps of {e.name} are "
        f"detected with 80 % power only above {largest.detectable:.2g}, and forgetting is graded "
        f"only if the original model differs by {2 * largest.noise:.2g}; it differs by "
        f"{abs(e.before - e.mean):.2g}.{more}"
    )


def _list(names: Sequence[str]) -> str:
    return (
        names[0]
        if len(names) == 1
        else f"{', '.join(names[:-1])} and {names[-1]}"
        if names
        else "none"
    )
