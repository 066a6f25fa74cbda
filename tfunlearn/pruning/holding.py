"""Keeps pruned filters and units at zero while an optimizer goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.sites import Site


class Holding:
    """Remembers what is zero in a model, and zeroes it again.

    Args:
        graph: of the model.
        filters: sites whose zero filters are held.
        pairs: sites whose dead units are held.
    """

    def __init__(self, graph: Graph, filters: Sequence[Site], pairs: Sequence[Site]):
        self._graph = graph
        self._filters = [site for site in filters if not site.skipped]
        self._pairs = [site for site in pairs if not site.skipped]
        self.renew()

    def renew(self) -> None:
        """Takes what is zero now as what is to be held."""
        weights = self._graph.read()
        held: dict[int, np.ndarray] = {}
        for site in [*self._filters, *self._pairs]:
            silent = _silent(weights, site)
            entries = [site.kernel, *site.followers, *([] if site.bias is None else [site.bias])]
            for entry in entries if silent.any() else ():
                _add(held, entry, np.broadcast_to(silent, weights[entry].shape))
        for site in self._pairs:
            for entry in site.outgoing:
                dead = ~weights[entry].any(axis=1)
                if dead.any():
                    _add(held, entry, np.broadcast_to(dead[:, None], weights[entry].shape))
        self._zero = _zeroing([(self._graph.variables[entry], mask)
                               for entry, mask in held.items()])

    def enforce(self) -> None:
        """Zeroes what is held."""
        self._zero()

    def counts(self) -> dict[str, int]:
        """Returns how many filters are zero and how many units are dead, of the kinds held."""
        weights = self._graph.read()
        counts = {}
        if self._filters:
            counts["pruned_filters"] = sum(int(_silent(weights, site).sum())
                                           for site in self._filters)
        if self._pairs:
            counts["pruned_units"] = sum(int(_dead(weights, site).sum()) for site in self._pairs)
        return counts


def _silent(weights, site: Site) -> np.ndarray:
    """Returns which filters or units have no incoming weight and no bias."""
    kernel = weights[site.kernel]
    zero = ~kernel.reshape(-1, site.units).any(axis=0)
    return zero if site.bias is None else zero & (weights[site.bias] == 0)


def _dead(weights, site: Site) -> np.ndarray:
    """Returns which units have nothing coming in, or nothing going out."""
    outgoing = [~weights[entry].any(axis=1) for entry in site.outgoing]
    return _silent(weights, site) | np.logical_and.reduce(outgoing)


def _add(held: dict[int, np.ndarray], entry: int, mask: np.ndarray) -> None:
    held[entry] = mask | held[entry] if entry in held else mask


def _zeroing(held: list[tuple]):
    """Returns a function, traced at its first call, that zeroes variables where masks are true."""
    pairs = [(variable if isinstance(variable, tf.Variable) else variable.value, mask)
             for variable, mask in held]
    if not pairs:
        return lambda: None

    def zero():
        for variable, mask in pairs:
            variable.assign(tf.where(tf.constant(mask), tf.zeros_like(variable), variable))

    return tf.function(zero, autograph=False)
