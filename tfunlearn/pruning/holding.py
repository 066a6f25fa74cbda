"""Keeps pruned filters and units at zero while an optimizer goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.records import FilterRecord, Record
from tfunlearn.pruning.sites import Site


class Holding:
    """Remembers what has been pruned, counts it, and zeroes it again.

    Args:
        graph: of the model.
        filters: sites whose filters are pruned.
        pairs: sites whose units are pruned.
        resumed: whether what is zero already counts as pruned.
    """

    def __init__(
        self, graph: Graph, filters: Sequence[Site], pairs: Sequence[Site], *, resumed: bool
    ):
        self._graph = graph
        self._filters = [site for site in filters if not site.skipped]
        self._pairs = [site for site in pairs if not site.skipped]
        sites = [*self._filters, *self._pairs]
        self._entries = sorted({entry for site in sites for entry in (
            *_incoming(site), *site.outgoing)})
        self._zero = _zeroing([graph.variables[entry] for entry in self._entries])
        self._masks: list | None = None
        weights = graph.read()
        self._pruned = {site.layer: _dead(weights, site) & resumed
                        for site in sites}
        self._hold(weights)

    def add(self, records: Mapping[str, Record]) -> None:
        """Takes what was pruned just now as what is to be held, too."""
        for name, record in records.items():
            units = record.pruned if isinstance(record, FilterRecord) else record.removed
            if units:
                self._pruned[name][list(units)] = True
        self._hold(self._graph.read())

    def enforce(self) -> None:
        """Zeroes what is held."""
        if self._masks is not None:
            self._zero(self._masks)

    def counts(self) -> dict[str, int]:
        """Returns how many of the pruned filters and units are dead now, of the kinds pruned."""
        weights = self._graph.read()
        return {name: sum(int((self._pruned[site.layer] & _dead(weights, site)).sum())
                          for site in sites)
                for name, sites in (("pruned_filters", self._filters),
                                    ("pruned_units", self._pairs)) if sites}

    def _hold(self, weights: list[np.ndarray]) -> None:
        """Holds those parameters of what was pruned that are zero."""
        held: dict[int, np.ndarray] = {}

        def hold(entry: int, mask: np.ndarray) -> None:
            mask = np.broadcast_to(mask, weights[entry].shape)
            held[entry] = mask | held[entry] if entry in held else mask

        for site in [*self._filters, *self._pairs]:
            pruned = self._pruned[site.layer]
            silent = pruned & _silent(weights, site)
            for entry in _incoming(site) if silent.any() else ():
                hold(entry, silent)
            for entry in site.outgoing if pruned.any() else ():
                hold(entry, (pruned & ~weights[entry].any(axis=1))[:, None])
        if held:
            self._masks = [tf.constant(held.get(entry, np.zeros(weights[entry].shape, bool)))
                           for entry in self._entries]


def _incoming(site: Site) -> list[int]:
    """Returns the entries with one value, or one slice, for each filter or unit of a layer."""
    return [site.kernel, *site.followers, *([] if site.bias is None else [site.bias])]


def _silent(weights, site: Site) -> np.ndarray:
    """Returns which filters or units have no incoming weight and no bias."""
    kernel = weights[site.kernel]
    zero = ~kernel.reshape(-1, site.units).any(axis=0)
    return zero if site.bias is None else zero & (weights[site.bias] == 0)


def _dead(weights, site: Site) -> np.ndarray:
    """Returns which filters or units have nothing coming in, or (units) nothing going out."""
    silent = _silent(weights, site)
    if not site.outgoing:
        return silent
    return silent | np.logical_and.reduce([~weights[entry].any(axis=1) for entry in site.outgoing])


def _zeroing(variables: Sequence):
    """Returns `zero(masks)`, traced once, that zeroes variables where their masks are true."""
    own = [variable if isinstance(variable, tf.Variable) else variable.value
           for variable in variables]

    def zero(masks):
        for variable, mask in zip(own, masks):
            variable.assign(tf.where(mask, tf.zeros_like(variable), variable))

    return tf.function(zero, autograph=False)
