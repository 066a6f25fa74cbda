"""Pruning of the convolution filters with the smallest L1 norm; the architecture is unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require_flags, require_fraction
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.counting import cast, count_of, limit_of, most_lost, rank_of, zero_entries
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.records import FilterRecord
from tfunlearn.pruning.sites import Site, chosen_sites, filter_sites, require_prunable

FILTER_DECISION = {"norms": np.float64, "removed": np.bool_, "zero": np.bool_, "spared": np.bool_}


def prune_filters(
    model: tf.keras.Model,
    fraction: float = 0.01,
    *,
    include_residual: bool = True,
    exclude_zeroed: bool = True,
    limit: float | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, FilterRecord]:
    """Zero the filters with the smallest L1 norm in every Conv1D/2D/3D layer, in place.

        count = max(1, ceil(fraction * filters)), never all filters
        norm(filter) = sum of |kernel[..., filter]|
        kernel[..., filter] = bias[filter] = gamma[filter] = beta[filter] = 0

    Args:
        model: a built Sequential or functional model.
        fraction: share of each layer's filters, in [0, 1); default 0.01.
        include_residual: also prune convolutions inside residual blocks; default True.
        exclude_zeroed: exclude filters that are already zero from the ranking, so that repeated
            calls prune further filters (progressive reading of the paper); with False they rank
            first, so that repeated calls choose the same filters (literal reading). Default True.
        limit: largest total share of a layer's filters that may be zero, in (0, 1]; default None:
            all but one.
        layers: names of the layers to prune; default all.

    Returns:
        A mapping from layer name to that layer's record, including skipped layers.

    Raises:
        UserError: an argument is invalid, a weight is not finite, or the model has no plain layer
            graph or nothing to prune. The model is unchanged in that case.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning".
        Deviation: filters are zeroed, while the published code deletes them; the computed
        function is the same, and the architecture is unchanged, as stated in the paper.
        Deviation: ceil, where the paper says "1 %, one where a layer has fewer than 100".
    """
    fraction = require_fraction("fraction", fraction)
    require_flags(include_residual=include_residual, exclude_zeroed=exclude_zeroed)
    limit = limit if limit is None else limit_of(limit, fraction)
    graph = Graph.of(model)
    sites = chosen_sites(filter_sites(graph, include_residual=include_residual), layers)
    require_prunable(graph, sites, "filters")
    before = graph.read()
    after, records = prune_filter_sites(
        before, sites, fraction, exclude_zeroed=exclude_zeroed, limit=limit
    )
    graph.write(before, after)
    return records


def prune_filter_sites(
    weights: list[np.ndarray],
    sites: Sequence[Site],
    fraction: float,
    *,
    exclude_zeroed: bool = True,
    limit: float | None = None,
) -> tuple[list[np.ndarray], dict[str, FilterRecord]]:
    """Return the weights with the filters of all sites pruned, and the records by layer."""
    records = {}
    for site in sites:
        weights, decision = prune_filter_site(
            weights, site, fraction, exclude_zeroed=exclude_zeroed, limit=limit
        )
        records[site.layer] = filter_record(site, decision)
    return weights, records


def prune_filter_site(
    weights: list,
    site: Site,
    fraction: float,
    *,
    exclude_zeroed: bool = True,
    limit: float | None = None,
    xp=np,
) -> tuple[list, dict]:
    """Prune one layer in a list of weights, in the array namespace `xp`.

    Returns:
        The new list, and the decision (`FILTER_DECISION`, each `(filters,)`): L1 norms before the
        call, which filters this call removed, which are all zero after it, and which were due but
        kept because of the limit. Empty if skipped.
    """
    if site.skipped:
        return weights, {}
    kernel = cast(weights[site.kernel], np.float64, xp)
    norms = xp.sum(xp.abs(xp.reshape(kernel, (-1, site.units))), axis=0)
    dead = xp.equal(norms, 0)
    if site.bias is not None:
        dead = xp.logical_and(dead, xp.equal(weights[site.bias], 0))
    eligible = xp.logical_not(dead) if exclude_zeroed else xp.ones_like(dead)
    rank = rank_of(xp.where(eligible, norms, np.float64(np.inf)), xp)
    due = xp.logical_and(eligible, rank < count_of(site.units, fraction))
    lives = xp.logical_not(dead)
    lost = xp.sum(cast(dead, np.int64, xp))
    place = rank_of(xp.where(xp.logical_and(due, lives), norms, np.float64(np.inf)), xp)
    allowed = place < np.int64(most_lost(site.units, limit)) - lost
    removed = xp.logical_and(due, xp.logical_or(dead, allowed))
    decision = dict(
        norms=norms,
        removed=removed,
        zero=xp.logical_or(dead, removed),
        spared=xp.logical_and(due, xp.logical_not(removed)),
    )
    return zero_entries(weights, _entries(site), removed, xp), decision


def zero_filters(weights: list[np.ndarray], site: Site, pruned: Sequence[int]) -> list[np.ndarray]:
    """Return `weights` with the given filters of one layer zeroed; changed arrays are copies."""
    removed = np.isin(np.arange(site.units), pruned)
    return zero_entries(weights, _entries(site), removed, np)


def is_zero_filter(weights: list[np.ndarray], site: Site, number: int) -> bool:
    """Return whether a filter's kernel slice and bias are zero."""
    return not weights[site.kernel][..., number].any() and (
        site.bias is None or weights[site.bias][number] == 0
    )


def _entries(site: Site) -> list[int]:
    """Return the positions of the weights that hold filter parameters, including normalization."""
    return [site.kernel, *site.followers, *([] if site.bias is None else [site.bias])]


def filter_record(site: Site, decision: dict) -> FilterRecord:
    """Return the record of a decision of `prune_filter_site`."""
    if site.skipped:
        return FilterRecord(site.layer, site.units, skipped=site.skipped)
    norms, removed = np.asarray(decision["norms"]), np.asarray(decision["removed"])
    pruned = [int(k) for k in np.argsort(norms, kind="stable") if removed[k]]
    return FilterRecord(
        site.layer,
        site.units,
        tuple(pruned),
        tuple(float(norms[k]) for k in pruned),
        int(np.sum(decision["zero"])),
        spared=int(np.sum(decision["spared"])),
    )
