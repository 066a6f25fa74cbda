"""The verdict on an unlearning, from measures beside retrained models.

The rule was chosen by simulation, before anything was measured with it; `docs/verification.md` has
its rates of error and a power curve.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, require, require_real
from tfunlearn.verification.sentences import plain_sentence, sentence

LEVEL = 0.04  # family-wise; at 0.05 skewed measures gave up to 7 % false alarms
MARGIN = 0.5  # of the gap that forgetting must close for certain
FAR = 2.0  # times the noise from which a measure's gap can be tested for equivalence
POWER = 0.8  # with which a detectable gap is noticed
LEAST_MODELS = 3
TOLERANCE = 0.01
MOST_MODELS = 1000
REMEMBERS, OVER, DAMAGED = "still remembers", "over-forgotten", "damaged"
FORGOTTEN, NOT_SHOWN, NO_VERDICT = "forgotten", "not shown", "no verdict"


@dataclass(frozen=True)
class Evidence:
    """One measure of the model before, the unlearned one, and retrained ones.

    Attributes:
        name: what is measured.
        before: of the model before unlearning.
        after: of the unlearned model.
        retrained: of each retrained model, `(K,)`.
        tolerance: a difference that never counts, in the measure's own unit; default 0.01.
        utility: whether it measures what must not be lost (accuracy on remaining or test data):
            only values below retraining count then. Default False: it measures forgetting.
        examples: number of examples of which it is a share, so that rounding widens the noise;
            default None, no share.
        p_value: probability of a value as extreme under perfect unlearning, of a measure that
            brings its own null distribution (U-LiRA by permutation); default None.

    Raises:
        UserError: a value that is not finite, or no retrained model.
    """

    name: str
    before: float
    after: float
    retrained: tuple[float, ...]
    tolerance: float = TOLERANCE
    utility: bool = False
    examples: int | None = None
    p_value: float | None = None

    def __post_init__(self):
        values = (self.before, self.after, *self.retrained, self.tolerance)
        require(self.name, "NaN or infinity", all(
            isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in values),
            "finite numbers; leave a measure out that has none")
        require(self.name, "no retrained model", len(self.retrained) > 0, "at least one")
        if self.p_value is not None:
            require_real(f"{self.name}: p_value", self.p_value, lambda p: 0 <= p <= 1, "0 to 1")

    @property
    def mean(self) -> float:
        """Mean over the retrained models, M."""
        return float(np.mean(self.retrained))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the retrained models, s, None of fewer than two; of a share of n
        examples `sqrt(s^2 + 1 / (12 n^2))`."""
        if len(self.retrained) < 2:
            return None
        rounding = 0.0 if not self.examples else 1 / (12 * self.examples**2)
        return math.sqrt(float(np.var(self.retrained, ddof=1)) + rounding)

    @property
    def gap(self) -> float:
        """The unlearned model's difference to the mean, U - M."""
        return self.after - self.mean

    def noise(self, measures: int = 1, models: int | None = None) -> float:
        """Returns how far a perfectly unlearned model may lie from the mean, w.

            w = max(tolerance, t s sqrt(1 + 1 / K))

        t is the quantile of Student's distribution with K - 1 degrees at 1 - level / (2 m), for a
        utility at 1 - level / m. With one retrained model it is the tolerance alone.

        Args:
            measures: m, all that are graded together.
            models: K, if there were so many of this spread; default as many as there are.
        """
        if self.spread is None:
            return self.tolerance
        models, sides = models or len(self.retrained), 1 if self.utility else 2
        return max(self.tolerance, _quantile(LEVEL / (sides * measures), models - 1) * self.spread
                   * math.sqrt(1 + 1 / models))


@dataclass(frozen=True)
class Grade:
    """What one measure says among `measures` that are graded together.

    Attributes:
        evidence: the measure.
        noise: w.
        informative: whether it can tell the model before from retraining.
        outside: `"still remembers"`, `"over-forgotten"`, `"damaged"`, or None within the noise.
        closed: whether more than half of the way back is certain; None where the gap of the model
            before is too small to be tested, or the measure has a null distribution of its own.
        detectable: difference that is noticed four times in five; None of a measure with its own
            null distribution or of one retrained model.
    """

    evidence: Evidence
    noise: float
    informative: bool
    outside: str | None
    closed: bool | None
    detectable: float | None

    @property
    def distance(self) -> float:
        """How far the unlearned model lies from retraining, in noises."""
        return _in_noises(self.evidence.gap, self.noise)

    @property
    def room(self) -> float:
        """How far the model before lies from retraining, in noises."""
        return _in_noises(self.evidence.before - self.evidence.mean, self.noise)

    @property
    def word(self) -> str:
        """The grade in a word or two."""
        if self.outside:
            return self.outside
        if self.closed is not None:
            return FORGOTTEN if self.closed else NOT_SHOWN
        return "within the noise" if self.informative else "cannot tell"


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    Attributes:
        word: `"forgotten"`, `"still remembers"`, `"over-forgotten"`, `"damaged"`, `"not shown"`
            (inconclusive), or `"no verdict"` of fewer than three retrained models; of several the
            one of the measure farthest outside.
        plain: one sentence with one figure for readers outside the field.
        sentence: the reasons, with names and figures.
        words: all that apply, the first of them `word`.
    """

    word: str
    plain: str
    sentence: str
    words: tuple[str, ...] = ()


def judge(evidence: Sequence[Evidence]) -> Verdict:
    """Returns the verdict.

    With m measures (all that are given, fixed before looking), K retrained models of mean M and
    deviation s, the unlearned model U and the model before B:

    1. A measure *can tell* if |B - M| > w (see `Evidence.noise`).
    2. It is *outside* if |U - M| > w and, where it cannot tell, also |U - B| > w: still remembers
       on the side of B, over-forgotten on the other. A utility is outside, damaged, if U < M - w. One
       with its own null distribution is outside if its p-value is at most level / m.
    3. *Forgotten*: nothing is outside, and every measure with |B - M| > 2 w, at least one of
       forgetting among them, shows by an equivalence test that more than half of its gap is closed:
       with b = |B - M|, u = (U - M) sign(B - M) and h = 1/2

           h b - u > t s sqrt(1 + h^2 + (1 - h)^2 / K)   and
           h b + u > t s sqrt(1 + h^2 + (1 + h)^2 / K),   t at 1 - level.

    4. Else it is not shown. "No difference was found" never reads as forgotten.

    Args:
        evidence: measures of forgetting and utility, at least one; at most five is best, since the
            noise grows with their number.

    Raises:
        UserError: no measure.
    """
    grades = grade(evidence)
    words = words_of(grades)
    more = models_needed(grades) if words[0] == NOT_SHOWN else None
    return Verdict(words[0], plain_sentence(words[0], grades),
                   sentence(words, grades, _least_models(grades), more), tuple(words))


def grade(evidence: Sequence[Evidence]) -> list[Grade]:
    """Returns what each measure says.

    Raises:
        UserError: no measure.
    """
    if not len(evidence):
        raise UserError("evidence: no measure; a verdict needs at least one")
    return [_graded(e, len(evidence)) for e in evidence]


def words_of(grades: Sequence[Grade]) -> list[str]:
    """Returns the words that apply, the one of the measure farthest outside first."""
    if _least_models(grades) < LEAST_MODELS:
        return [NO_VERDICT]
    outside = sorted((g for g in grades if g.outside), key=lambda g: g.distance, reverse=True)
    if outside:
        return list(dict.fromkeys(g.outside for g in outside))
    tested = [g.closed for g in grades if g.closed is not None]
    speaks = any(g.closed for g in grades if not g.evidence.utility)
    return [FORGOTTEN if speaks and all(tested) else NOT_SHOWN]


def _least_models(grades: Sequence[Grade]) -> int:
    """Returns K of the measures that rest on a spread, the least; 1 where none does."""
    return min((len(g.evidence.retrained) for g in grades if g.evidence.p_value is None), default=1)


def models_needed(grades: Sequence[Grade]) -> int | None:
    """Returns how many retrained models of the same spread would make some gap large enough to be
    tested, None if not even a thousand would."""
    measures = len(grades)
    for models in range(LEAST_MODELS, MOST_MODELS + 1):
        for g in grades:
            e = g.evidence
            if e.p_value is None and e.spread is not None and not e.utility:
                if abs(e.before - e.mean) > FAR * e.noise(measures, models):
                    return models
    return None


def detectable_gap(models: int, measures: int = 1, *, sides: int = 2) -> float:
    """Returns the difference to retraining that is noticed four times in five, in standard
    deviations of retraining.

    Args:
        models: K, retrained models, at least 2.
        measures: m, measures that are graded together.
        sides: 1 for a utility, else 2.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct

    limit = _quantile(LEVEL / (sides * measures), models - 1)

    def power(shift: float) -> float:
        # some versions of SciPy give NaN far out in a tail, where the probability is 0
        upper, lower = nct.cdf(limit, models - 1, shift), nct.cdf(-limit, models - 1, shift)
        return (1 - float(np.nan_to_num(upper)) - POWER
                + (float(np.nan_to_num(lower)) if sides == 2 else 0.0))

    return brentq(power, 0.0, 4 * limit + 10, xtol=1e-6) * math.sqrt(1 + 1 / models)


_gap_of = functools.lru_cache(maxsize=1024)(detectable_gap)


def _in_noises(gap: float, noise: float) -> float:
    return abs(gap) / noise if noise else math.inf if gap else 0.0


def _graded(e: Evidence, measures: int) -> Grade:
    noise = e.noise(measures)
    informative = abs(e.before - e.mean) > noise
    if e.p_value is not None:
        outside = None
        if e.p_value <= LEVEL / measures:
            outside = REMEMBERS if e.gap * (e.before - e.mean) >= 0 else OVER
        return Grade(e, noise, informative, outside, None, None)
    return Grade(e, noise, informative, _outside(e, noise, informative),
                 _closed(e, noise), None if e.spread is None or len(e.retrained) < LEAST_MODELS else
                 max(e.tolerance, e.spread * _gap_of(len(e.retrained), measures,
                                                     sides=1 if e.utility else 2)))


def _outside(e: Evidence, noise: float, informative: bool) -> str | None:
    if e.utility:
        return DAMAGED if e.gap < -noise else None
    if not abs(e.gap) > noise or (not informative and not abs(e.after - e.before) > noise):
        return None
    return REMEMBERS if e.gap * (e.before - e.mean) > 0 else OVER


def _closed(e: Evidence, noise: float) -> bool | None:
    """Tells whether more than half of the gap is closed for certain, None where it is too small to
    be tested."""
    b, models = abs(e.before - e.mean), len(e.retrained)
    if e.spread is None or b <= FAR * noise:
        return None
    u = e.gap * math.copysign(1.0, e.before - e.mean)
    limit, h = _quantile(LEVEL, models - 1) * e.spread, MARGIN
    return (h * b - u > limit * math.sqrt(1 + h**2 + (1 - h) ** 2 / models)
            and h * b + u > limit * math.sqrt(1 + h**2 + (1 + h) ** 2 / models))


@functools.lru_cache(maxsize=4096)
def _quantile(tail: float, degrees: int) -> float:
    """Returns the quantile of Student's distribution that is exceeded with probability `tail`."""
    from scipy.stats import t

    return float(t.isf(tail, degrees))
