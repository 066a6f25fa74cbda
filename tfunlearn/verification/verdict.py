"""Verdict on an unlearned model, from metrics compared with those of retrained models.

The rule was chosen by simulation, before it was applied to any model; `docs/verification.md` has
its error rates and a power curve.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tfunlearn.core.errors import UserError, require, require_real
from tfunlearn.verification.sentences import plain_sentence, sentence

LEVEL = 0.04  # family-wise; at 0.05, skewed metrics gave up to 7 % false alarms
MARGIN = 0.5  # share of the gap that forgetting must significantly close
FAR = 2.0  # a metric is tested for equivalence if its gap is above this multiple of the noise
POWER = 0.8  # probability of detecting a detectable gap
LEAST_MODELS = 3
TOLERANCE = 0.01
MOST_MODELS = 1000
REMEMBERS, OVER, DAMAGED = "still remembers", "over-forgotten", "damaged"
FORGOTTEN, NOT_SHOWN, NO_VERDICT = "forgotten", "not shown", "no verdict"


@dataclass(frozen=True)
class Evidence:
    """One metric of the model before unlearning, the unlearned model, and the retrained models.

    Attributes:
        name: name of the metric.
        before: value of the model before unlearning.
        after: value of the unlearned model.
        retrained: value of each retrained model, `(K,)`.
        tolerance: difference that is always ignored, in the unit of the metric; default 0.01.
        utility: whether it is a utility metric (accuracy on the retain set or test set), of which
            only values below retraining count; default False, a forgetting metric.
        examples: number of examples if the metric is a share of them, so that rounding widens the
            noise; default None, not a share.
        p_value: probability of a value at least as extreme under perfect unlearning, for a metric
            with its own null distribution (U-LiRA by permutation); default None.

    Raises:
        UserError: a value that is not finite, no retrained model, or a p-value outside 0 to 1.
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
        require(
            self.name,
            "NaN or infinity",
            all(isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in values),
            "finite numbers; leave out a metric that has none",
        )
        require(self.name, "no retrained model", len(self.retrained) > 0, "at least one")
        if self.p_value is not None:
            require_real(
                f"{self.name}: p_value", self.p_value, lambda p: 0 <= p <= 1, "a number from 0 to 1"
            )

    @property
    def mean(self) -> float:
        """Mean over the retrained models, M."""
        return float(np.mean(self.retrained))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the retrained models, s, None for fewer than two; for a share of
        n examples `sqrt(s^2 + 1 / (12 n^2))`."""
        if len(self.retrained) < 2:
            return None
        rounding = 0.0 if not self.examples else 1 / (12 * self.examples**2)
        return math.sqrt(float(np.var(self.retrained, ddof=1)) + rounding)

    @property
    def gap(self) -> float:
        """Difference between the unlearned model and the mean, U - M."""
        return self.after - self.mean

    def noise(self, measures: int = 1, models: int | None = None) -> float:
        """Return the noise w, the deviation from the mean expected under perfect unlearning.

            w = max(tolerance, t s sqrt(1 + 1 / K))

        t is the quantile of Student's t distribution with K - 1 degrees of freedom at
        1 - level / (2 m), for a utility metric at 1 - level / m. With one retrained model w is the
        tolerance.

        Args:
            measures: m, the number of metrics graded together; default 1.
            models: K, a hypothetical number of retrained models with this spread; default the
                actual number.
        """
        if self.spread is None:
            return self.tolerance
        models, sides = models or len(self.retrained), 1 if self.utility else 2
        return max(
            self.tolerance,
            _quantile(LEVEL / (sides * measures), models - 1)
            * self.spread
            * math.sqrt(1 + 1 / models),
        )


@dataclass(frozen=True)
class Grade:
    """Grade of one metric among all metrics graded together.

    Attributes:
        evidence: the metric.
        noise: w.
        informative: whether the model before unlearning differs from retraining by more than w.
        outside: `"still remembers"`, `"over-forgotten"`, `"damaged"`, or None within the noise.
        closed: whether more than half of the gap to retraining was significantly closed; None if
            the gap before unlearning is too small to be tested, or the metric has its own null
            distribution.
        detectable: difference that is detected with a probability of 80 %; None for a metric with
            its own null distribution or with fewer than three retrained models.
    """

    evidence: Evidence
    noise: float
    informative: bool
    outside: str | None
    closed: bool | None
    detectable: float | None

    @property
    def distance(self) -> float:
        """Distance of the unlearned model from the retrained mean, in noise units."""
        return _in_noises(self.evidence.gap, self.noise)

    @property
    def room(self) -> float:
        """Distance of the model before unlearning from the retrained mean, in noise units."""
        return _in_noises(self.evidence.before - self.evidence.mean, self.noise)

    @property
    def word(self) -> str:
        """The grade as text."""
        if self.outside:
            return self.outside
        if self.closed is not None:
            return FORGOTTEN if self.closed else NOT_SHOWN
        return "within the noise" if self.informative else "not informative"


@dataclass(frozen=True)
class Verdict:
    """Verdict on an unlearned model.

    Attributes:
        word: `"forgotten"`, `"still remembers"`, `"over-forgotten"`, `"damaged"`, `"not shown"`
            (inconclusive), or `"no verdict"` with fewer than three retrained models; if several
            apply, that of the metric farthest from retraining.
        plain: one sentence with one number, for non-specialist readers.
        sentence: the reasons, with metrics and numbers.
        words: all verdicts that apply, `word` first.
    """

    word: str
    plain: str
    sentence: str
    words: tuple[str, ...] = ()


def judge(evidence: Sequence[Evidence]) -> Verdict:
    """Return the verdict.

    With m metrics (all that are given, fixed before any is measured), K retrained models of mean M
    and standard deviation s, the unlearned model U and the model before unlearning B:

    1. A metric is *informative* if |B - M| > w (see `Evidence.noise`).
    2. It is *outside* the noise if |U - M| > w and, if not informative, also |U - B| > w: "still
       remembers" on the side of B, "over-forgotten" on the other. A utility metric is outside,
       "damaged", if U < M - w. A metric with its own null distribution is outside if its p-value is
       at most level / m.
    3. *Forgotten*: no metric is outside, and every metric with |B - M| > 2 w, at least one of them
       a forgetting metric, shows by an equivalence test that more than half of its gap is closed:
       with b = |B - M|, u = (U - M) sign(B - M) and h = 1/2

           h b - u > t s sqrt(1 + h^2 + (1 - h)^2 / K)   and
           h b + u > t s sqrt(1 + h^2 + (1 + h)^2 / K),   t at 1 - level.

    4. Otherwise the verdict is "not shown" (inconclusive). The absence of a significant difference
       is never reported as forgotten.

    With fewer than three retrained models there is no verdict.

    Args:
        evidence: forgetting and utility metrics, at least one; preferably at most five, since the
            noise grows with their number.

    Raises:
        UserError: no metric.
    """
    grades = grade(evidence)
    words = words_of(grades)
    more = models_needed(grades) if words[0] == NOT_SHOWN else None
    return Verdict(
        words[0],
        plain_sentence(words[0], grades),
        sentence(words, grades, _least_models(grades), more),
        tuple(words),
    )


def grade(evidence: Sequence[Evidence]) -> list[Grade]:
    """Return the grade of each metric.

    Raises:
        UserError: no metric.
    """
    if not len(evidence):
        raise UserError("evidence: no measure; a verdict needs at least one")
    return [_grade(e, len(evidence)) for e in evidence]


def words_of(grades: Sequence[Grade]) -> list[str]:
    """Return the verdicts that apply, that of the metric farthest from retraining first."""
    if _least_models(grades) < LEAST_MODELS:
        return [NO_VERDICT]
    outside = sorted((g for g in grades if g.outside), key=lambda g: g.distance, reverse=True)
    if outside:
        return list(dict.fromkeys(g.outside for g in outside if g.outside))
    tested = [g.closed for g in grades if g.closed is not None]
    speaks = any(g.closed for g in grades if not g.evidence.utility)
    return [FORGOTTEN if speaks and all(tested) else NOT_SHOWN]


def _least_models(grades: Sequence[Grade]) -> int:
    """Return the smallest K among the metrics without a p-value; 1 if there are none."""
    return min((len(g.evidence.retrained) for g in grades if g.evidence.p_value is None), default=1)


def models_needed(grades: Sequence[Grade]) -> int | None:
    """Return the number of retrained models of the same spread with which the gap of some
    forgetting metric could be tested, None if even 1,000 would not suffice."""
    measures = len(grades)
    for models in range(LEAST_MODELS, MOST_MODELS + 1):
        for g in grades:
            e = g.evidence
            far = e.p_value is None and e.spread is not None and not e.utility
            if far and abs(e.before - e.mean) > FAR * e.noise(measures, models):
                return models
    return None


def detectable_gap(models: int, measures: int = 1, *, sides: int = 2) -> float:
    """Return the difference from retraining that is detected with a probability of 80 %, in
    standard deviations of the retrained models.

    Args:
        models: K, the number of retrained models, at least 2.
        measures: m, the number of metrics graded together; default 1.
        sides: 1 for a utility metric, else 2 (default).
    """
    from scipy.optimize import brentq
    from scipy.stats import nct

    limit = _quantile(LEVEL / (sides * measures), models - 1)

    def power(shift: float) -> float:
        # some versions of SciPy return NaN far out in a tail, where the probability is 0
        upper, lower = nct.cdf(limit, models - 1, shift), nct.cdf(-limit, models - 1, shift)
        return (
            1
            - float(np.nan_to_num(upper))
            - POWER
            + (float(np.nan_to_num(lower)) if sides == 2 else 0.0)
        )

    root = cast(float, brentq(power, 0.0, 4 * limit + 10, xtol=1e-6))
    return root * math.sqrt(1 + 1 / models)


_gap_of = functools.lru_cache(maxsize=1024)(detectable_gap)


def _in_noises(gap: float, noise: float) -> float:
    return abs(gap) / noise if noise else math.inf if gap else 0.0


def _grade(e: Evidence, measures: int) -> Grade:
    noise = e.noise(measures)
    informative = abs(e.before - e.mean) > noise
    if e.p_value is not None:
        outside = None
        if e.p_value <= LEVEL / measures:
            outside = REMEMBERS if e.gap * (e.before - e.mean) >= 0 else OVER
        return Grade(e, noise, informative, outside, None, None)
    return Grade(
        e,
        noise,
        informative,
        _outside(e, noise, informative),
        _closes_gap(e, noise),
        None
        if e.spread is None or len(e.retrained) < LEAST_MODELS
        else max(
            e.tolerance, e.spread * _gap_of(len(e.retrained), measures, sides=1 if e.utility else 2)
        ),
    )


def _outside(e: Evidence, noise: float, informative: bool) -> str | None:
    if e.utility:
        return DAMAGED if e.gap < -noise else None
    if not abs(e.gap) > noise or (not informative and not abs(e.after - e.before) > noise):
        return None
    return REMEMBERS if e.gap * (e.before - e.mean) > 0 else OVER


def _closes_gap(e: Evidence, noise: float) -> bool | None:
    """Return whether more than half of the gap was significantly closed, None if the gap is too
    small to be tested."""
    b, models = abs(e.before - e.mean), len(e.retrained)
    if e.spread is None or b <= FAR * noise:
        return None
    u = e.gap * math.copysign(1.0, e.before - e.mean)
    limit, h = _quantile(LEVEL, models - 1) * e.spread, MARGIN
    return h * b - u > limit * math.sqrt(
        1 + h**2 + (1 - h) ** 2 / models
    ) and h * b + u > limit * math.sqrt(1 + h**2 + (1 + h) ** 2 / models)


@functools.lru_cache(maxsize=4096)
def _quantile(tail: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution that is exceeded with probability `tail`."""
    from scipy.stats import t

    return float(t.isf(tail, degrees))
