"""Every aggregation rule by name: how it is called, what it demands, what it promises.

To add a rule: its file, and a row here; the row's promises are what the contract test checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tfunlearn.aggregation.bucketing import bucketing
from tfunlearn.aggregation.bulyan import bulyan
from tfunlearn.aggregation.centered_clipping import centered_clipping
from tfunlearn.aggregation.fltrust import fltrust
from tfunlearn.aggregation.geometric_median import geometric_median
from tfunlearn.aggregation.krum import krum
from tfunlearn.aggregation.krum_flap import krum_flap
from tfunlearn.aggregation.mean import mean
from tfunlearn.aggregation.median import median
from tfunlearn.aggregation.multi_krum import multi_krum
from tfunlearn.aggregation.nearest_neighbor_mixing import nearest_neighbor_mixing
from tfunlearn.aggregation.norm_bound import norm_bound
from tfunlearn.aggregation.rfa import rfa
from tfunlearn.aggregation.trimmed_mean import trimmed_mean


class Call(NamedTuple):
    """What a rule may use besides the updates.

    Attributes:
        f: malicious rows to withstand.
        weights: examples per row, or None.
        reference: the aggregate of the round before, or the server's own update.
        selected: rows that multi-krum averages, or None.
        clip: radius or norm bound, or None for the rule's own.
        passes: passes of an iterative rule, or None for the rule's own.
        noise: standard deviation of added noise.
        rng: generator of the noise.
        compat: `"flap"` or None.
        strict: whether too few rows are refused.
        sizes: entries of the model's tensors, which multi-krum takes with `compat`.
    """

    f: int = 0
    weights: object = None
    reference: object = None
    selected: int | None = None
    clip: float | None = None
    passes: int | None = None
    noise: float = 0.0
    rng: object = None
    compat: str | None = None
    strict: bool = True
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Rule:
    """A row of the contract table.

    Attributes:
        function: the rule itself.
        call: `(updates, Call) -> (d,)`, the function with what it takes of a call.
        least: least number of updates for f malicious ones.
        condition: the same in words.
        reference: what the rule needs of the server: `"previous"` aggregate, `"trusted"` update.
        uses: fields of `Call` that it takes beyond f.
        translates: whether a shift of all rows shifts the result; else it is zero-centred.
        scales: whether a factor on all rows scales the result.
        in_box: whether f arbitrary rows leave every coordinate of the result within the others'.
        ignores_huge: whether f rows of +-1e30 do, which less careful rules promise too.
        told_f: whether the function itself takes f (or trim) and refuses too few updates.
        averages: settings under which it is the plain mean when f = 0, or None.
    """

    function: Callable
    call: Callable
    least: Callable[[int], int]
    condition: str
    reference: str | None = None
    uses: tuple[str, ...] = ()
    translates: bool = True
    scales: bool = True
    in_box: bool = False
    ignores_huge: bool = False
    told_f: bool = False
    averages: dict | None = None


def _given(**values) -> dict:
    """Returns the keywords that are not None, so that a rule's own defaults hold."""
    return {name: value for name, value in values.items() if value is not None}


RULES: dict[str, Rule] = {
    "mean": Rule(
        mean, lambda u, c: mean(u, weights=c.weights), lambda f: 1, "n >= 1",
        uses=("weights",), averages={}),
    "trimmed-mean": Rule(
        trimmed_mean, lambda u, c: trimmed_mean(
            u, trim=c.f, strict=c.strict), lambda f: 2 * f + 1, "f < n / 2",
        in_box=True, told_f=True, averages={}),
    "median": Rule(
        median, lambda u, c: median(u, compat=c.compat), lambda f: 2 * f + 1, "f < n / 2",
        uses=("compat",), in_box=True),
    "krum": Rule(
        krum, lambda u, c: krum(u, f=c.f, strict=c.strict), lambda f: 2 * f + 3, "n >= 2f + 3",
        ignores_huge=True, told_f=True),
    "multi-krum": Rule(
        multi_krum, lambda u, c: krum_flap(u, f=c.f, sizes=c.sizes, strict=c.strict) if c.compat
        else multi_krum(u, f=c.f, m=c.selected, strict=c.strict), lambda f: 2 * f + 3,
        "n >= 2f + 3", uses=("selected", "compat"), ignores_huge=True, told_f=True),
    "bulyan": Rule(
        bulyan, lambda u, c: bulyan(u, f=c.f, strict=c.strict), lambda f: 4 * f + 3, "n >= 4f + 3",
        ignores_huge=True, told_f=True,
        averages={}),
    "geometric-median": Rule(
        geometric_median,
        lambda u, c: geometric_median(u, weights=c.weights, passes=c.passes),
        lambda f: 2 * f + 1, "f < n / 2", uses=("weights", "passes")),
    "rfa": Rule(
        rfa, lambda u, c: rfa(u, weights=c.weights, **_given(passes=c.passes)),
        lambda f: 2 * f + 1, "f < n / 2", uses=("weights", "passes")),
    "centered-clipping": Rule(
        centered_clipping, lambda u, c: centered_clipping(
            u, center=c.reference, **_given(clip=c.clip, passes=c.passes)),
        lambda f: 2 * f + 1, "f < n / 2", reference="previous", uses=("clip", "passes"),
        translates=False, scales=False, averages={"clip": 1e6}),
    "norm-bound": Rule(
        norm_bound, lambda u, c: norm_bound(
            u, bound=c.clip, weights=c.weights, noise=c.noise, rng=c.rng),
        lambda f: 1, "n >= 1", uses=("weights", "clip", "noise"), translates=False,
        averages={"clip": 1e6}),
    "fltrust": Rule(
        fltrust, lambda u, c: fltrust(u, trusted=c.reference), lambda f: f + 1, "f < n",
        reference="trusted", translates=False, scales=False),
}


@dataclass(frozen=True)
class PreAggregator:
    """A step before a rule.

    Attributes:
        function: the step itself.
        call: `(updates, f, size, seed, round number, strict) -> stack`.
        least: least number of updates for f malicious ones.
        rows_left: number of rows it gives, from n and `size`.
    """

    function: Callable
    call: Callable
    least: Callable[[int], int]
    rows_left: Callable[[int, int], int]


PRE_AGGREGATORS: dict[str, PreAggregator] = {
    "nearest-neighbor-mixing": PreAggregator(
        nearest_neighbor_mixing,
        lambda u, f, size, seed, number, strict: nearest_neighbor_mixing(u, f=f, strict=strict),
        lambda f: 2 * f + 1, lambda n, size: n),
    "bucketing": PreAggregator(
        bucketing,
        lambda u, f, size, seed, number, strict: bucketing(
            u, size=size, seed=seed, round_number=number),
        lambda f: 1, lambda n, size: -(-n // size)),
}

MODES = {"conservative": 0.1, "perfect": 0.2, "radical": 0.3}  # FLAP's words for f / n
