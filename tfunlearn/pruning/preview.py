"""Two-step pruning: preview the records, then apply them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.core.errors import UserError, nearest, require, require_flags, require_fraction
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.filters import prune_filter_sites, zero_filters
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.intervals.propagation import InputRange
from tfunlearn.pruning.pair_surgery import merge_pairs
from tfunlearn.pruning.pairs import PairChoice
from tfunlearn.pruning.records import FilterRecord, PairRecord, Record
from tfunlearn.pruning.sites import Site, chosen_sites, filter_sites, pair_sites, require_prunable


def explain(
    model: tf.keras.Model,
    fraction: float = 0.01,
    *,
    filters: bool = True,
    pairs: bool = True,
    include_residual: bool = True,
    exclude_zeroed: bool = True,
    score: str = "impact",
    compat: str | None = None,
    input_range: InputRange = (0.0, 1.0),
    alpha: float = 0.75,
    beta: float = 0.25,
    zero_incoming: bool | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, Record]:
    """Return the records that `prune_filters` and `prune_pairs` would each produce.

    The model is not changed.

    Args:
        model: a built Sequential or functional model.
        fraction: share of each layer's filters and units, in [0, 1); default 0.01.
        filters: whether to include convolutions; default True.
        pairs: whether to include Dense layers; default True.
        include_residual, exclude_zeroed: as for `prune_filters`.
        score, compat, input_range, alpha, beta, zero_incoming: as for `prune_pairs`.
        layers: names of the layers to include; default all.

    Returns:
        A mapping from layer name to that layer's record, as returned by both functions, for
        `apply`.

    Raises:
        UserError: as `prune_filters` and `prune_pairs`; nothing to prune of either kind.
    """
    fraction = require_fraction("fraction", fraction)
    require_flags(
        filters=filters,
        pairs=pairs,
        include_residual=include_residual,
        exclude_zeroed=exclude_zeroed,
    )
    choice = PairChoice(fraction, score, compat, input_range, alpha, beta, zero_incoming)
    graph = Graph.of(model)
    convolutions = filter_sites(graph, include_residual=include_residual) if filters else []
    dense = pair_sites(graph) if pairs else []
    sites = chosen_sites([*convolutions, *dense], layers)
    require_prunable(graph, sites, "filters or unit pairs")
    weights = graph.read()
    _, records = prune_filter_sites(
        weights, sites[: len(convolutions)], fraction, exclude_zeroed=exclude_zeroed
    )
    _, merged = choice.prune(graph, weights, sites[len(convolutions) :])
    return records | merged


def apply(model: tf.keras.Model, records: Mapping[str, Record] | Record) -> None:
    """Apply pruning records in place, regardless of the weights they were computed on.

    Args:
        model: a built Sequential or functional model with the layers named in the records.
        records: result of `explain`, `prune_filters` or `prune_pairs`, or a single record.

    Raises:
        UserError: a record does not fit its layer; the model is unchanged in that case.
    """
    if isinstance(records, FilterRecord | PairRecord):
        records = {records.layer: records}
    require(
        "records",
        type(records).__name__,
        isinstance(records, Mapping),
        "a record, or a mapping from layer names to records",
    )
    graph = Graph.of(model)
    filters = {site.layer: site for site in filter_sites(graph)}
    pairs = {site.layer: site for site in pair_sites(graph)}
    before = weights = graph.read()
    for name, record in records.items():
        require(
            "records",
            record,
            isinstance(record, FilterRecord | PairRecord),
            "a FilterRecord or a PairRecord",
        )
        require("records", name, name == record.layer, f"the record's own layer, {record.layer}")
        if isinstance(record, FilterRecord):
            if _check(filters, record, record.filters, record.pruned):
                require(
                    "records",
                    f"all filters of '{name}'",
                    len(record.pruned) < record.filters,
                    "at most all filters but one",
                )
                weights = zero_filters(weights, filters[name], record.pruned)
        elif _check(pairs, record, record.units, record.kept + record.removed):
            weights = merge_pairs(weights, pairs[name], record)
    graph.write(before, weights)


def as_recorded(
    weights: list[np.ndarray], sites: Sequence[Site], records: Mapping[str, Record]
) -> list[np.ndarray]:
    """Return `weights` pruned by decisions made on other weights of the same shapes."""
    known = {site.layer: site for site in sites}
    for name, record in records.items():
        if name in known and isinstance(record, FilterRecord):
            weights = zero_filters(weights, known[name], record.pruned)
        elif name in known and isinstance(record, PairRecord):
            weights = merge_pairs(weights, known[name], record)
    return weights


def _check(known: Mapping[str, Site], record: Record, units: int, numbers: Sequence[int]) -> bool:
    """Return whether a record prunes anything; raise a `UserError` if it does not fit."""
    site = known.get(record.layer)
    if site is None:
        raise UserError(
            f"records: no prunable layer '{record.layer}' in the model"
            f"{nearest(record.layer, known)}"
        )
    if not numbers:
        return False
    if site.skipped:
        raise UserError(f"records: '{record.layer}' cannot be pruned ({site.skipped})")
    if site.units != units:
        raise UserError(f"records: '{record.layer}' has {site.units} units, its record {units}")
    if not all(
        isinstance(number, int | np.integer) and 0 <= number < units for number in numbers
    ) or len(set(numbers)) < len(numbers):
        raise UserError(
            f"records: '{record.layer}' must name units from 0 to {units - 1}, each once; "
            f"got {list(numbers)}"
        )
    return True
