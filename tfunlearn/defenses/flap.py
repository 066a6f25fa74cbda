"""FLAP: the server prunes the global model after an aggregation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import choose, require
from tfunlearn.core.fields import option
from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import every
from tfunlearn.defenses.defense import ModelDefense
from tfunlearn.pruning import FilterRecord, PairRecord
from tfunlearn.pruning.counting import limit_of, pair_count_of
from tfunlearn.pruning.filters import FILTER_DECISION, filter_record, prune_filter_site
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.pair_tensors import PAIR_DECISION, pair_record, prune_pair_site
from tfunlearn.pruning.pairs import SCORES, PairChoice
from tfunlearn.pruning.sites import Site, filter_sites, pair_sites

NARROW = 10  # filters or units below which one of them is more than a tenth of the layer


class Flap:
    """Prune filters and unit pairs of the aggregated model without changing its structure.

    In the rounds selected by `due`, zero the 1 % of filters with the smallest l1 norm in every
    Conv layer, and 1 % of the units of every Dense layer except the last, by merging similar pairs:
    at least one per layer, but never more than `limit` of a layer in total. Clients receive the
    pruned model.

    Args:
        model: the Keras model whose weights will be pruned (its own weights are never changed).
        fraction: share of filters and of units pruned at a time, in [0, 1); default 0.01.
        due: schedule `round -> bool` over rounds from 1; default rounds 1, 6, 11, ...
        filters: prune filters; default True.
        pairs: prune unit pairs; default True.
        progressive: skip filters that are already zero, so that every pruning removes new ones;
            default False: they stay in the ranking, as in the paper's text, so that filters that
            stayed zero are selected again.
        limit: maximum share of a layer's filters or units that may be zero in total; default None:
            0.2, or `fraction` if that is larger.
        narrow: also prune layers of fewer than 10 filters or units; default False.
        include_residual: also prune convolutions in residual blocks; default True.
        score: pair score used by `__call__`, `"impact"` (default) or `"saliency"`; `on_tensors`
            always uses saliency. Records state which one was used.

    Attributes:
        unbounded: reason why pairs are selected by saliency although impact was requested (bounds
            cannot be propagated through some layer of the model), or None.

    Raises:
        UserError: neither filters nor pairs, or an argument out of range.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning".
        Deviation: in the published code the pruned copy never reaches the clients; here it does.
        Deviation: the limit; the paper has none, and its "at least one filter" would eventually
        remove a whole narrow layer if zero filters were skipped.
        Deviation: narrow layers are not pruned. "One filter" of a layer of six is 17 % of it, not
        1 %; on the README's first command, FLAP costs 0.012 of test accuracy (mean of five seeds)
        if it prunes them, 0.005 if not.
        Deviation: inside TFF (`on_tensors`) pairs are selected by saliency, as in the published
        code's federated runs, because bounds are computed in NumPy, which TFF workers cannot run.
        Deviation: sum instead of doubling, a pool of 2 x count pairs, ceil: see `prune_pairs`.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        *,
        fraction: float = 0.01,
        due: Callable = every(5),
        filters: bool = True,
        pairs: bool = True,
        progressive: bool = False,
        limit: float | None = None,
        narrow: bool = False,
        include_residual: bool = True,
        score: str = "impact",
    ):
        require("filters and pairs", False, filters or pairs, "True for at least one of them")
        graph = Graph.of(model)
        self.fraction, self.due, limit = fraction, due, limit_of(limit, fraction)
        convolutions = filter_sites(graph, include_residual=include_residual) if filters else []
        dense = pair_sites(graph) if pairs else []
        self._sites = sum(not site.skipped for site in (*convolutions, *dense))
        if not narrow:
            convolutions, dense = map(_wide_enough, (convolutions, dense))
        self._graph, self._dense = graph, dense
        prune_filter = functools.partial(prune_filter_site, exclude_zeroed=progressive, limit=limit)
        self._filters = [
            _Step(site, prune_filter, filter_record, FILTER_DECISION, site.units)
            for site in convolutions
        ]
        self._pairs = [
            _Step(
                site,
                functools.partial(prune_pair_site, limit=limit),
                pair_record,
                PAIR_DECISION,
                pair_count_of(site.units, fraction),
            )
            for site in self._dense
        ]
        self._steps = self._filters + self._pairs
        self._choice = PairChoice(fraction, score, limit=limit)
        self.unbounded = None
        if score == "impact":
            self.unbounded = self._choice.infeasible_reason(graph, graph.read(), self._dense)
            if self.unbounded is not None:
                self._choice = PairChoice(fraction, "saliency", limit=limit)

    @property
    def sites(self) -> int:
        """Number of layers that can be pruned; narrow ones count."""
        return self._sites

    def __call__(
        self, round_number: int, weights: list[np.ndarray]
    ) -> tuple[list[np.ndarray], dict[str, FilterRecord | PairRecord]]:
        """Return the weights after a round, pruned if the round is due, and the pruning records."""
        if not self.due(round_number):
            return weights, {}
        weights, decisions = self._prune(self._filters, weights, np)
        records = self._records(self._filters, decisions)
        pruned, merged = self._choice.prune(self._graph, weights, self._dense)
        return pruned, records | merged

    def on_tensors(self, round_number, weights: list) -> tuple[list, dict]:
        """Return the weights, pruned if due, as tensors in TensorFlow, and a report.

        `records_of` converts the report to records.
        """

        def prune():
            pruned, decisions = self._prune(self._steps, weights, tf.experimental.numpy)
            values = [
                decision[name]
                for step, decision in zip(self._steps, decisions)
                for name in step.fields
            ]
            return [tf.convert_to_tensor(w) for w in pruned], values

        def leave():
            return (
                [tf.identity(w) for w in weights],
                [
                    tf.zeros([step.length], dtype)
                    for step in self._steps
                    for dtype in step.fields.values()
                ],
            )

        pruned, report = tf.cond(self.due(round_number), prune, leave)
        return pruned, {f"value_{n:05d}": value for n, value in enumerate(report)}

    def records_of(self, round_number: int, report: dict) -> dict[str, FilterRecord | PairRecord]:
        """Return the pruning records, by layer, from the report of `on_tensors`."""
        if not self.due(round_number):
            return {}
        values = iter(report[name] for name in sorted(report))
        return self._records(
            self._steps, [{name: next(values) for name in step.fields} for step in self._steps]
        )

    def _prune(self, steps: list[_Step], weights: list, xp) -> tuple[list, list[dict]]:
        decisions = []
        for step in steps:
            weights, decision = step.prune(weights, step.site, self.fraction, xp=xp)
            decisions.append(decision)
        return weights, decisions

    @staticmethod
    def _records(steps: list[_Step], decisions: list[dict]) -> dict[str, FilterRecord | PairRecord]:
        return {
            step.site.layer: step.record(step.site, decision)
            for step, decision in zip(steps, decisions)
        }


def _wide_enough(sites: list[Site]) -> list[Site]:
    """Return the sites, with those of narrow layers marked as skipped."""
    return [
        site
        if site.skipped or site.units >= NARROW
        else dataclasses.replace(site, skipped=f"narrow: one of {site.units} is more than a tenth")
        for site in sites
    ]


class _Step:
    """Pruning step of one layer: functions to prune and record it, and its decision fields.

    Args:
        site: the layer.
        prune: `(weights, site, fraction, *, xp) -> weights, decision`.
        record: `(site, decision) -> record`.
        fields: dtypes of the arrays in the decision, by name.
        length: entries of each of these arrays.
    """

    def __init__(self, site: Site, prune, record, fields: dict, length: int):
        self.site, self.prune, self.record, self.length = site, prune, record, length
        self.fields = {} if site.skipped else fields


@dataclass(frozen=True)
class FlapSettings:
    """Settings of FLAP."""

    prune_fraction: float = option(0.01, "Share of filters and units removed by each pruning.")
    prune_start: int = option(1, "First round that is followed by pruning.")
    prune_every: int = option(5, "Number of rounds between prunings.")
    prune_filters: bool = option(True, "Prune filters of convolutions.")
    prune_pairs: bool = option(True, "Prune pairs of units of Dense layers.")
    prune_progressive: bool = option(
        False,
        "Leave filters that are zero already out of the ranking, so that every pruning removes "
        "others; off, they stay in it, as in the paper.",
    )
    prune_limit: float | None = option(
        None,
        "Largest share of a layer's filters or units that all prunings together may remove "
        "(one always remains); none: 0.2, or prune_fraction if larger.",
    )
    prune_narrow: bool = option(
        False,
        "Also prune layers of fewer than 10 filters or units; prune_limit still applies.",
    )
    prune_score: str | None = option(
        None,
        f"Score that ranks pairs: {', '.join(SCORES)}; none: impact where updates are gathered, "
        "saliency inside TFF.",
    )
    include_residual: bool = option(True, "Also prune inside residual blocks.")

    def __post_init__(self):
        require(
            "prune_fraction",
            self.prune_fraction,
            0 < self.prune_fraction < 1,
            "a number > 0 and < 1",
        )
        require(
            "prune_limit",
            self.prune_limit,
            self.prune_limit is None or self.prune_fraction <= self.prune_limit <= 1,
            f"from prune_fraction ({self.prune_fraction:g}) to 1",
        )
        require(
            "prune_filters and prune_pairs",
            False,
            self.prune_filters or self.prune_pairs,
            "True for at least one of them",
        )
        if self.prune_score is not None:
            choose("prune_score", self.prune_score, SCORES)
        require("prune_start", self.prune_start, self.prune_start >= 1, "at least 1")
        require("prune_every", self.prune_every, self.prune_every >= 1, "at least 1")


def _build(model: tf.keras.Model, own: FlapSettings, gathers: bool) -> Flap:
    flap = Flap(
        model,
        fraction=own.prune_fraction,
        due=every(own.prune_every, start=own.prune_start),
        filters=own.prune_filters,
        pairs=own.prune_pairs,
        progressive=own.prune_progressive,
        limit=own.prune_limit,
        narrow=own.prune_narrow,
        score=own.prune_score or "impact",
        include_residual=own.include_residual,
    )
    require(
        "model",
        model.name,
        flap.sites > 0,
        "a model with a convolution (filters) or a Dense layer before another layer (pairs), for "
        "flap",
    )
    return flap


def _check(own: FlapSettings, gathers: bool) -> None:
    require(
        "prune_score",
        own.prune_score,
        own.prune_score != "impact" or gathers or not own.prune_pairs,
        "saliency where updates are aggregated inside TFF; gather them for impact (--gather)",
    )


def _describe(model: tf.keras.Model, own: FlapSettings, gathers: bool) -> str:
    infeasible_reason = _build(model, own, gathers).unbounded
    score = "saliency" if not gathers or infeasible_reason else own.prune_score or "impact"
    score += f", since {infeasible_reason}" if infeasible_reason and gathers else ""
    kinds = [
        name
        for name, on in (("filters", own.prune_filters), (f"pairs by {score}", own.prune_pairs))
        if on
    ]
    return " and ".join(kinds) + (", progressive" if own.prune_progressive else "")


def _idle(own: FlapSettings) -> dict[str, str]:
    return {
        **({} if own.prune_filters else {"prune_progressive": "--prune-filters"}),
        **({} if own.prune_pairs else {"prune_score": "--prune-pairs"}),
    }


FLAP = ModelDefense(
    name="flap",
    summary="prunes the aggregated model: filters of smallest l1 norm, most similar pairs of units",
    paper='Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model '
    'Pruning"',
    settings=FlapSettings,
    build=_build,
    check=_check,
    idle=_idle,
    inside_tff=True,
    describe=_describe,
    earlier={
        "prune_filters": True,
        "prune_pairs": True,
        "prune_progressive": True,
        "prune_limit": 1.0,
        "prune_narrow": True,
        "prune_score": "saliency",
    },
)
