"""From measurements beside retraining to a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE, TOLERANCE, HALF = 0.95, 0.01, 0.5


@dataclass(frozen=True)
class Evidence:
    """One measure of the model before, the unlearned one, and retrained ones.

    Attributes:
        name: what is measured.
        before: of the model before unlearning.
        after: of the unlearned model.
        retrained: of each retrained model, `(k,)`.
        tolerance: a difference that does not count whatever the retrained models' spread; in the
            measure's own unit.
    """

    name: str
    before: float
    after: float
    retrained: tuple[float, ...]
    tolerance: float = TOLERANCE

    @property
    def mean(self) -> float:
        """Mean over the retrained models."""
        return float(np.mean(self.retrained))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the retrained models, None of fewer than two."""
        return float(np.std(self.retrained, ddof=1)) if len(self.retrained) > 1 else None

    @property
    def gap(self) -> float:
        """The unlearned model's difference to the mean."""
        return self.after - self.mean

    @property
    def noise(self) -> float:
        """How far one more retrained model may lie from the mean of these: half the width of the
        95 % prediction interval, at least the tolerance; with one model the tolerance alone."""
        if self.spread is None:
            return self.tolerance
        from scipy.stats import t

        count = len(self.retrained)
        reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * math.sqrt(1 + 1 / count)
        return max(self.tolerance, reach * self.spread)

    @property
    def within(self) -> bool:
        """Whether the unlearned model is one that retraining might have given."""
        return abs(self.gap) <= self.noise

    @property
    def tells(self) -> bool:
        """Whether the measure can tell at all: the model before lies outside the noise."""
        return abs(self.before - self.mean) > self.noise

    @property
    def closed(self) -> float | None:
        """Share of the way from the model before to retraining, None where it cannot tell; above 1
        it went too far."""
        return (self.before - self.after) / (self.before - self.mean) if self.tells else None


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    Attributes:
        word: `"forgotten"`, `"partly"`, `"not"`, or `"not shown"` where no measure can tell.
        sentence: the same, with its reasons.
    """

    word: str
    sentence: str


def judge(evidence: Sequence[Evidence]) -> Verdict:
    """Returns the verdict; the rules were set before anything was measured.

    Forgotten, to within retraining noise: every measure lies within it, and one of them could tell.
    Partly: some measure lies outside, but each of those has come more than half of the way.
    Not: some measure has not. Not shown: all lie within, but so does the model before unlearning.

    Args:
        evidence: measures of forgetting, at least one.
    """
    outside = [e for e in evidence if not e.within]
    telling = [e for e in evidence if e.tells]
    seeds = max(len(e.retrained) for e in evidence)
    beside = f"{seeds} retrained model{'s' if seeds > 1 else ''}"
    if seeds == 1:
        beside += " (its spread is unknown: only the tolerance counts)"
    if not outside and not telling:
        return Verdict("not shown", f"Not shown: the unlearned model is within the noise of {beside}"
                       " in every measure, but so was the model before; these measures cannot tell.")
    if not outside:
        return Verdict("forgotten", f"Forgotten to within retraining noise: {_count(evidence)} lie "
                       f"within the noise of {beside}, and the model before did not in "
                       f"{_names(telling)}.")
    missed = [e for e in outside if not e.tells or not HALF < e.closed < 2 - HALF]
    if missed:
        return Verdict("not", f"Not forgotten as retraining would: beside {beside}, "
                       f"{_words(missed)}.")
    return Verdict("partly", f"Partly forgotten: more than half of the way to {beside}, but "
                   f"{_words(outside)}.")


def _count(evidence: Sequence[Evidence]) -> str:
    return f"all {len(evidence)} measures" if len(evidence) > 1 else f"the measure {evidence[0].name}"


def _names(evidence: Sequence[Evidence]) -> str:
    return ", ".join(e.name for e in evidence)


def _words(evidence: Sequence[Evidence]) -> str:
    return "; ".join(f"{e.name} {e.after:.4g} against {e.mean:.4g} +- {e.noise:.2g} "
                     f"({_way(e)})" for e in evidence)


def _way(e: Evidence) -> str:
    if e.closed is None:
        return "the model before was within the noise, this one is not"
    return f"{e.closed:.0%} of the way" + (", too far" if e.closed > 1 else "")
