"""From measurements beside retraining to a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE, TOLERANCE, HALF, FAR = 0.95, 0.01, 0.5, 2.0


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
        band: how far a perfect unlearning may lie off, where that is known otherwise than by the
            retrained models' spread; default unknown.
    """

    name: str
    before: float
    after: float
    retrained: tuple[float, ...]
    tolerance: float = TOLERANCE
    band: float | None = None

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
        if self.band is not None:
            return max(self.tolerance, self.band)
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
        """Whether the measure can tell at all: the model before lies more than twice the noise from
        retraining, so that who is within the noise has come more than half of the way."""
        return abs(self.before - self.mean) > FAR * self.noise

    @property
    def closed(self) -> float | None:
        """Share of the way from the model before to retraining, None where it cannot tell; above 1
        it went too far, below 0 it went away."""
        return (self.before - self.after) / (self.before - self.mean) if self.tells else None

    @property
    def known(self) -> bool:
        """Whether the noise is known, not only the tolerance."""
        return self.band is not None or self.spread is not None

    @property
    def grade(self) -> str:
        """`"forgotten"`, `"partly"` or `"not"`, or `"cannot tell"`."""
        if not self.tells:
            if self.within or not self.known:
                return "cannot tell"
            return "not" if abs(self.gap) > FAR * self.noise else "partly"
        if self.within:
            return "forgotten"
        return "partly" if HALF < self.closed < 2 - HALF else "not"


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

    A measure tells if the model before lies more than twice the noise from retraining. Such a one
    says forgotten if the unlearned model lies within the noise, partly if it has come more than
    half of the way and not as far beyond, else not. One that does not tell still says partly if the
    unlearned model has left the noise, and not if it has by twice as much.

    The verdict is the worst that a measure says; not shown if none tells. Each measure by itself
    puts a perfect unlearning outside in 5 % of cases, so the sentence says how many would be by
    chance.

    Args:
        evidence: measures of forgetting, at least one.
    """
    grades = [e.grade for e in evidence]
    telling = [e for e in evidence if e.tells]
    seeds = max(len(e.retrained) for e in evidence)
    beside = f"{seeds} retrained model{'s' if seeds > 1 else ''}"
    if not any(e.spread is not None for e in evidence):
        beside += " (its spread is unknown: only the tolerance counts)"
    outside = [e for e in evidence if e.grade in ("not", "partly")]
    share = max(_chance(len(outside), len(evidence)), 0.01)
    chance = (f" By chance a perfect unlearning would have {len(outside)} or more of "
              f"{len(evidence)} outside in up to {share:.0%} of cases." if seeds > 1 else "")
    if "not" in grades:
        worst = [e for e in evidence if e.grade == "not"]
        others = len(outside) - len(worst)
        return Verdict("not", f"Not forgotten as retraining would: beside {beside}, {_words(worst)}"
                       + (f"; {others} more outside the noise" if others else "") + "." + chance)
    if outside:
        return Verdict("partly", f"Partly forgotten, beside {beside}: {_words(outside)}." + chance)
    if not telling:
        return Verdict("not shown", f"Not shown: none of {_count(evidence)} can tell the model "
                       f"before from {beside}, so none can tell whether this one has forgotten.")
    return Verdict("forgotten", f"Forgotten to within retraining noise, beside {beside}: "
                   f"{_names(telling)}, by which the model before was told apart, "
                   f"lie{'s' if len(telling) == 1 else ''} within the noise, and of "
                   f"{_count(evidence)} none lies outside.")


def _chance(outside: int, measures: int) -> float:
    """Returns the probability that so many of independent measures lie outside by chance."""
    from scipy.stats import binom

    return float(binom.sf(outside - 1, measures, 1 - CONFIDENCE))


def _count(evidence: Sequence[Evidence]) -> str:
    return f"{len(evidence)} measure{'s' if len(evidence) > 1 else ''}"


def _names(evidence: Sequence[Evidence]) -> str:
    return "; ".join(e.name for e in evidence)


def _words(evidence: Sequence[Evidence]) -> str:
    return "; ".join(f"{e.name} {e.after:.4g} against {e.mean:.4g} +- {e.noise:.2g} ({_way(e)})"
                     for e in evidence)


def _way(e: Evidence) -> str:
    if e.closed is None:
        return f"{e.before:.4g} before, which this measure could not tell from retraining"
    if e.closed < 0:
        return f"{e.before:.4g} before: it went away from retraining"
    if e.closed > 1:
        return f"{e.before:.4g} before: it went too far"
    return f"{e.before:.4g} before: {e.closed:.0%} of the way"
