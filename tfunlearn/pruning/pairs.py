"""Cross-layer pair pruning of Dense layers; the architecture is unchanged."""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfunlearn.core.errors import choose, require, require_fraction
from tfunlearn.core.lazy import tf
from tfunlearn.core.threads import one_blas_thread
from tfunlearn.pruning import flap_reference, impact
from tfunlearn.pruning.counting import limit_of, most_lost, pair_count_of
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.intervals.propagation import InputRange, Propagation, range_ends
from tfunlearn.pruning.intervals.stages import NoBounds
from tfunlearn.pruning.pair_surgery import bias_and_rows, merge_pairs
from tfunlearn.pruning.pair_tensors import dead_units
from tfunlearn.pruning.records import Pair, PairRecord
from tfunlearn.pruning.saliency import cheapest_pairs, pair_costs, pair_saliency
from tfunlearn.pruning.sites import Site, chosen_sites, pair_sites, require_prunable

SCORES = {
    "impact": "least change of the outputs, of the most alike pairs",
    "saliency": "most alike pairs",
}
COMPATS = {"flap": "the steps of the code published with FLAP"}
POOL = 2  # candidates per merged pair when ranked by impact
WIDE = 1024  # number of units from which a second BLAS thread pays off


def prune_pairs(
    model: tf.keras.Model,
    fraction: float = 0.01,
    *,
    score: str = "impact",
    compat: str | None = None,
    input_range: InputRange = (0.0, 1.0),
    alpha: float = 0.75,
    beta: float = 0.25,
    zero_incoming: bool | None = None,
    limit: float | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, PairRecord]:
    """Merge similar units of every Dense layer but the last, in place; same architecture.

    With incoming column w_i, bias b_i and outgoing row a_i of unit i, the cost of removing j and
    keeping i is

        S[i, j] = (|b_i - b_j| / |b_i + b_j| + ||w_i - w_j||) * ||a_j||

    (bias term 0 where b_i + b_j = 0). Disjoint pairs are taken in ascending order of S:
    `count = max(1, ceil(fraction * units))` of them, or, with `score="impact"`, twice as many, of
    which the `count` pairs with the lowest `alpha * L + beta * E` are merged: L is the L1 norm and
    E the entropy of the bounds on the change of the outputs (see `pair_impacts`). Then
    `a_i += a_j` and `w_j = b_j = a_j = 0`. Later layers see the kernels changed by earlier ones.

    Args:
        model: a built Sequential or functional model.
        fraction: share of each layer's units, in [0, 1); default 0.01. Pairs are disjoint, so at
            most half of the units are removed.
        score: `"impact"` (default) or `"saliency"`. If a later layer has no bounds (Embedding,
            LSTM, attention), or they are not finite, saliency is used; a warning names both.
        compat: `"flap"` follows the published code exactly, including that it skips the cheapest
            pair and removes the other unit; default None.
        input_range: lowest and highest input of the model, numbers or arrays of the input's
            shape; default (0, 1). Only the impact depends on it.
        alpha: weight of L; default 0.75.
        beta: weight of E; default 0.25.
        zero_incoming: zero w_j and b_j too, so that training cannot revive unit j; default None
            means True, but False with `compat`, as published.
        limit: largest total share of a layer's units that may be dead, in (0, 1]; default None:
            all but one.
        layers: names of the layers to prune; default all.

    Returns:
        A mapping from layer name to that layer's record, including skipped layers.

    Raises:
        UserError: an argument is invalid, a weight is not finite, or the model has no plain layer
            graph or nothing to prune. The model is unchanged in that case.

    Warns:
        UserWarning: pairs of some layers are chosen by saliency although impact was requested.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning",
        after Srinivas & Babu, "Data-free parameter pruning for deep neural networks", BMVC 2015
        (arXiv 1507.06149).
        Deviation: the scored unit j is the one removed, the cheapest pair is not skipped, all
        parameters of j are zeroed, bounds come from the inputs, and L and E are scaled over the
        candidates; the published code differs in each of these. Dead units are excluded.
        Deviation: the partner receives the sum of the outgoing weights; the paper's figure doubles
        its own, which is right for equal rows only.
        Deviation: impact ranks only the 2 x count pairs of lowest saliency, a pool taken from the
        published code.
        Deviation: ceil, so that 1 % of 120 units are 2; the paper says "1 %, one where a layer has
        fewer than 100".
    """
    choice = PairChoice(
        fraction,
        score,
        compat,
        input_range,
        alpha,
        beta,
        zero_incoming,
        limit if limit is None else limit_of(limit, fraction),
    )
    graph = Graph.of(model)
    sites = chosen_sites(pair_sites(graph), layers)
    require_prunable(graph, sites, "unit pairs")
    before = graph.read()
    after, records = choice.prune(graph, before, sites)
    graph.write(before, after)
    return records


class Ranking(NamedTuple):
    """Ranking of candidates, each `(k,)`: L1 norm, entropy, score, and whether they are merged."""

    l1: np.ndarray
    entropy: np.ndarray
    scores: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class PairChoice:
    """Criterion for choosing and merging pairs; the validated arguments of `prune_pairs`."""

    fraction: float = 0.01
    score: str = "impact"
    compat: str | None = None
    input_range: InputRange = (0.0, 1.0)
    alpha: float = 0.75
    beta: float = 0.25
    zero_incoming: bool | None = None
    limit: float | None = None

    def __post_init__(self):
        object.__setattr__(self, "fraction", require_fraction("fraction", self.fraction))
        choose("score", self.score, SCORES)
        if self.compat is not None:
            choose("compat", self.compat, COMPATS)
        low, high = range_ends(self.input_range)
        require(
            "input_range",
            self.input_range,
            self.compat is None or low.ndim == high.ndim == 0,
            "(low, high), two numbers, with compat",
        )
        for name in ("alpha", "beta"):
            value: float = getattr(self, name)
            require(
                name,
                value,
                isinstance(value, numbers.Real) and 0 <= value < np.inf,
                "a number >= 0",
            )
            object.__setattr__(self, name, float(value))
        require(
            "zero_incoming",
            self.zero_incoming,
            self.zero_incoming is None or isinstance(self.zero_incoming, bool),
            "True, False or None",
        )

    def check(self, graph: Graph, weights: list[np.ndarray], sites: Iterable[Site]) -> None:
        """Raise the `UserError` that pruning would raise for the current model, if any."""
        if all(site.skipped for site in sites):
            return
        if self.compat:
            flap_reference.dense_chain(graph)
        elif self.score == "impact":
            Propagation(graph, weights, self.input_range).check_range()

    def infeasible_reason(
        self, graph: Graph, weights: list[np.ndarray], sites: Iterable[Site]
    ) -> str | None:
        """Return the reason why saliency will replace the requested impact score, or None."""
        if self.compat or self.score != "impact" or all(site.skipped for site in sites):
            return None
        propagation = Propagation(graph, weights, self.input_range)
        try:
            for tensor in graph.outputs:
                propagation.bounds(tensor)
        except NoBounds as error:
            return error.reason
        return None

    def prune(
        self, graph: Graph, weights: list[np.ndarray], sites: Iterable[Site]
    ) -> tuple[list[np.ndarray], dict[str, PairRecord]]:
        """Return the weights with the pairs of all sites merged, and the records by layer."""
        records, sites, fallbacks = {}, list(sites), {}
        widest = max((site.units for site in sites if not site.skipped), default=0)
        if widest:
            rank = self._read_published(graph) if self.compat else self._sound(graph)
        with one_blas_thread() if widest < WIDE else contextlib.nullcontext():
            for site in sites:
                if site.skipped:
                    record = PairRecord(site.layer, site.units, skipped=site.skipped)
                else:
                    room = most_lost(site.units, self.limit) - int(
                        dead_units(weights[site.kernel], *bias_and_rows(weights, site)).sum()
                    )
                    try:
                        score, ranked = self.score, rank(weights, site, max(room, 0))
                    except NoBounds as error:
                        fallbacks.setdefault(error.reason, []).append(site.layer)
                        score, rank_so = "saliency", dataclasses.replace(self, score="saliency")
                        ranked = rank_so._sound(graph)(weights, site, max(room, 0))
                    candidates, bound, spared = ranked
                    record = PairRecord(
                        site.layer,
                        site.units,
                        candidates,
                        self._zeroes_incoming,
                        bound,
                        spared=spared,
                        score=score,
                    )
                    weights = merge_pairs(weights, site, record)
                records[site.layer] = record
        for reason, layers in fallbacks.items():
            warnings.warn(
                f"pairs of {', '.join(map(repr, layers))} are chosen by saliency: {reason}",
                stacklevel=3,
            )
        return weights, records

    @property
    def _zeroes_incoming(self) -> bool:
        return self.compat is None if self.zero_incoming is None else self.zero_incoming

    def _sound(self, graph: Graph):
        """Return `rank(weights, site, room)`: candidates, bound and number of spared pairs."""
        propagation = None

        def rank(weights, site, room):
            nonlocal propagation
            count = pair_count_of(site.units, self.fraction)
            cost = pair_costs(weights[site.kernel], *bias_and_rows(weights, site))
            pool = count if self.score == "saliency" else POOL * count
            kept, removed = cheapest_pairs(cost, pool)
            due = min(count, len(kept))
            count = min(due, room)
            del cost
            if self.score == "saliency":
                return _candidates(weights, site, kept, removed, count), None, due - count
            if propagation is None:
                propagation = Propagation(graph, weights, self.input_range)
            propagation.update(weights)
            if not len(kept):
                return (), 0.0, 0
            interval = impact.pair_impacts(propagation, site, kept, removed)
            l1, entropy = impact.widths(*interval), impact.entropies(*interval)
            scores = impact.pool_scores(l1, entropy, alpha=self.alpha, beta=self.beta)
            chosen = impact.lowest(scores, count)
            bound = impact.largest_move(*interval, chosen)
            ranking = Ranking(l1, entropy, scores, chosen)
            return (_candidates(weights, site, kept, removed, count, ranking), bound, due - count)

        return rank

    def _read_published(self, graph: Graph):
        """Return `rank(weights, site, room)` as in the published code.

        A pair (a, b) of its list is a = column j and b = row i of S, and b is removed: the unit
        whose outgoing weights are in the score is kept.
        """
        chain = flap_reference.dense_chain(graph)
        numbers = {link.layer: number for number, link in enumerate(chain)}

        def rank(weights, site, room):
            count = flap_reference.published_count(site.units, self.fraction)
            cost = pair_costs(weights[site.kernel], *bias_and_rows(weights, site), allow_dead=True)
            pool = count if self.score == "saliency" else POOL * count
            removed, kept = cheapest_pairs(cost, pool, skip_best=True)
            due = min(count, len(kept))
            count = due if self.limit is None else min(due, room)
            if self.score == "saliency" or not len(kept):
                return (
                    _candidates(weights, site, kept, removed, count, scored_stays=True),
                    None,
                    due - count,
                )
            number = numbers[site.layer]
            first = self.input_range if number == 0 else (0.0, 1.0)
            interval = flap_reference.published_impacts(
                chain, weights, number, kept, removed, first
            )
            l1, entropy, scores = flap_reference.published_scores(
                interval, alpha=self.alpha, beta=self.beta
            )
            ranking = Ranking(l1, entropy, scores, impact.lowest(scores, count))
            return (
                _candidates(weights, site, kept, removed, count, ranking, scored_stays=True),
                None,
                due - count,
            )

        return rank


def _candidates(
    weights,
    site: Site,
    kept: np.ndarray,
    removed: np.ndarray,
    count: int,
    ranking: Ranking | None = None,
    *,
    scored_stays: bool = False,
) -> tuple[Pair, ...]:
    """Return pairs `(k,)` as values; without a ranking the first `count` of them are chosen.

    With `scored_stays` the saliency is weighted by the outgoing weights of `kept`.
    """
    bias, rows = bias_and_rows(weights, site)
    other, scored = (removed, kept) if scored_stays else (kept, removed)
    saliency = pair_saliency(weights[site.kernel], bias, rows, other, scored)
    if ranking is None:
        nothing = np.full(len(kept), None)
        ranking = Ranking(nothing, nothing, saliency, np.arange(len(kept)) < count)
    columns = (values.tolist() for values in (kept, removed, saliency, *ranking))
    return tuple(Pair(*values) for values in zip(*columns))
