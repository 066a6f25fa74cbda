"""Masks that keep pruned filters and units at zero during further training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.records import FilterRecord, Record
from tfunlearn.pruning.sites import Site
from tfunlearn.pruning.variables import averages_of, components


class Holding:
    """Pruning masks of a model: track pruned filters and units, count them and zero them again.

    Moving averages that an optimizer keeps of the weights are zeroed too, since each optimizer step
    mixes the updated weights into them.

    Args:
        graph: graph of the model.
        filters: sites whose filters are pruned.
        pairs: sites whose units are pruned.
    """

    def __init__(self, graph: Graph, filters: Sequence[Site], pairs: Sequence[Site]):
        self._graph = graph
        self._filters = [site for site in filters if not site.skipped]
        self._pairs = [site for site in pairs if not site.skipped]
        sites = [*self._filters, *self._pairs]
        self._entries = sorted(
            {entry for site in sites for entry in (*_incoming(site), *site.outgoing)}
        )
        self._zero, self._any = _zeroing([graph.variables[entry] for entry in self._entries])
        self._masks: list | None = None
        self._zero_averages: list = []
        self._pruned = {site.layer: np.zeros(site.units, bool) for site in sites}
        self.sync()

    def sync(self, *, resumed: bool = False) -> None:
        """Recompute the masks from the current weights.

        Pruned filters and units stay pruned if they are still dead. Others count as pruned if they
        have neither incoming nor outgoing weights (or, if training is resumed, are dead in any
        way), unless that holds for the whole layer: it was then initialized to zero and stays
        trainable.
        """
        weights = self._graph.values()
        for site in [*self._filters, *self._pairs]:
            dead, silent = _dead(weights, site), _silent(weights, site)
            found = dead if resumed else silent & _mute(weights, site)
            self._pruned[site.layer] = self._pruned[site.layer] & dead | (found & ~found.all())
        self._hold(weights)

    def is_intact(self) -> bool:
        """Return whether all masked parameters are still zero, as after `enforce`."""
        return self._masks is None or not bool(self._any(self._masks))

    def add(self, records: Mapping[str, Record]) -> None:
        """Add newly pruned filters and units to the masks."""
        for name, record in records.items():
            units = record.pruned if isinstance(record, FilterRecord) else record.removed
            if units:
                self._pruned[name][list(units)] = True
        self._hold(self._graph.values())

    def enforce(self) -> None:
        """Set all masked parameters to zero."""
        if self._masks is None:
            return
        self._zero(self._masks)
        averages = averages_of(self._graph.model)
        if len(averages) != len(self._zero_averages):  # created at the first step
            self._zero_averages = [self._zeroing_of(own) for own in averages]
        for zero, places in self._zero_averages:
            zero([self._masks[place] for place in places])

    def _zeroing_of(self, averages: Mapping) -> tuple:
        """Return a function that zeroes the averages by masks, and the indices of these masks."""
        weights = [self._graph.variables[entry] for entry in self._entries]
        places = [place for place, weight in enumerate(weights) if id(weight) in averages]
        return _zeroing([averages[id(weights[place])] for place in places])[0], places

    def counts(self) -> dict[str, int]:
        """Return the number of pruned filters and units that are dead now, for each kind in use."""
        weights = self._graph.values()
        return {
            name: sum(
                int((self._pruned[site.layer] & _dead(weights, site)).sum()) for site in sites
            )
            for name, sites in (("pruned_filters", self._filters), ("pruned_units", self._pairs))
            if sites
        }

    def _hold(self, weights: list[np.ndarray]) -> None:
        """Build the masks of those parameters of pruned filters and units that are zero."""
        held: dict[int, np.ndarray] = {}

        def hold(entry: int, mask: np.ndarray) -> None:
            mask = np.broadcast_to(mask, weights[entry].shape)
            held[entry] = mask | held[entry] if entry in held else mask

        for site in [*self._filters, *self._pairs]:
            pruned = self._pruned[site.layer]
            silent = pruned & _silent(weights, site)
            for entry in _incoming(site) if silent.any() else ():
                hold(entry, silent & ~weights[entry].reshape(-1, site.units).any(axis=0))
            for entry in site.outgoing if pruned.any() else ():
                hold(entry, (pruned & ~weights[entry].any(axis=1))[:, None])
        self._masks = None
        if held:
            self._masks = [
                tf.constant(held.get(entry, np.zeros(weights[entry].shape, bool)))
                for entry in self._entries
            ]


def _incoming(site: Site) -> list[int]:
    """Return the weights with one value or slice for each filter or unit of a layer."""
    return [site.kernel, *site.followers, *([] if site.bias is None else [site.bias])]


def _silent(weights, site: Site) -> np.ndarray:
    """Return a mask of filters or units without incoming weights and bias."""
    kernel = weights[site.kernel]
    zero = ~kernel.reshape(-1, site.units).any(axis=0)
    return zero if site.bias is None else zero & (weights[site.bias] == 0)


def _dead(weights, site: Site) -> np.ndarray:
    """Return a mask of filters or units without incoming or (units) without outgoing weights."""
    silent = _silent(weights, site)
    return silent | _mute(weights, site) if site.outgoing else silent


def _mute(weights, site: Site) -> np.ndarray:
    """Return a mask of units without outgoing weights; all True for filters (unknown there)."""
    return np.logical_and.reduce(
        [np.ones(site.units, bool), *(~weights[entry].any(axis=1) for entry in site.outgoing)]
    )


def _zeroing(variables: Sequence):
    """Return `zero(masks)` and `any(masks)`, each traced once.

    `zero` zeroes the variables where their masks are True; `any` returns whether any variable is
    nonzero there.
    """
    own = [components(variable) for variable in variables]

    def zero(masks):
        for parts, mask in zip(own, masks):
            for part in parts:  # one per device
                part.assign(tf.where(mask, tf.zeros_like(part), part))

    def any_(masks):
        return tf.reduce_any(
            [tf.reduce_any(mask & (parts[0] != 0)) for parts, mask in zip(own, masks)]
        )

    return tf.function(zero, autograph=False), tf.function(any_, autograph=False)
