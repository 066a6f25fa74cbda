"""FLAP: the server prunes the global model right after an aggregation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import every
from tfunlearn.pruning import FilterRecord, PairRecord
from tfunlearn.pruning.counting import pair_count_of
from tfunlearn.pruning.filters import FILTER_DECISION, filter_record, prune_filter_site
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.pair_tensors import PAIR_DECISION, pair_record, prune_pair_site
from tfunlearn.pruning.sites import Site, filter_sites, pair_sites


class Flap:
    """Prunes filters and unit pairs of the aggregate, structure unchanged.

    At the rounds that `due` names, 1 % of the filters of every Conv layer by least l1 norm and
    1 % of the units of every Dense layer but the last by saliency pairs are zeroed, at least one
    of each layer. Clients receive the pruned model.

    Args:
        model: the Keras model whose weights will be pruned (only its graph is read).
        fraction: share of filters and of units, in (0, 1]; default 0.01.
        due: schedule `round -> bool` over rounds from 1; default rounds 1, 6, 11, ...
        include_residual: also prune convolutions in residual blocks; default True.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning".
        Deviation: in the published code the pruned copy never reaches the clients; here it does.
        Pairs are chosen by saliency, as in that code's federated runs, not by impact as in the
        paper: bounds are NumPy's work, which TFF's workers cannot run.
    """

    def __init__(
        self, model: tf.keras.Model, *, fraction: float = 0.01, due: Callable = every(5),
        include_residual: bool = True,
    ):
        graph = Graph.of(model)
        self.fraction, self.due = fraction, due
        self._steps = [_Step(site, prune_filter_site, filter_record, FILTER_DECISION, site.units)
                       for site in filter_sites(graph, include_residual=include_residual)]
        self._steps += [_Step(site, prune_pair_site, pair_record, PAIR_DECISION,
                              pair_count_of(site.units, fraction)) for site in pair_sites(graph)]

    def __call__(
        self, round_number: int, weights: list[np.ndarray]
    ) -> tuple[list[np.ndarray], dict[str, FilterRecord | PairRecord]]:
        """Returns the weights after a round, pruned if it is due, and what was pruned."""
        if not self.due(round_number):
            return weights, {}
        weights, decisions = self._prune(weights, np)
        return weights, self._records(decisions)

    def on_tensors(self, round_number, weights: list) -> tuple[list, dict]:
        """Does the same on tensors, inside TensorFlow; the report is for `records_of`."""
        def prune():
            pruned, decisions = self._prune(weights, tf.experimental.numpy)
            values = [decision[name] for step, decision in zip(self._steps, decisions)
                      for name in step.fields]
            return [tf.convert_to_tensor(w) for w in pruned], values

        def leave():
            return ([tf.identity(w) for w in weights],
                    [tf.zeros([step.length], dtype) for step in self._steps
                     for dtype in step.fields.values()])

        pruned, report = tf.cond(self.due(round_number), prune, leave)
        return pruned, {f"value_{n:05d}": value for n, value in enumerate(report)}

    def records_of(
        self, round_number: int, report: dict
    ) -> dict[str, FilterRecord | PairRecord]:
        """Returns what was pruned from the report of `on_tensors`."""
        if not self.due(round_number):
            return {}
        values = iter(report[name] for name in sorted(report))
        return self._records([{name: next(values) for name in step.fields}
                              for step in self._steps])

    def _prune(self, weights: list, xp) -> tuple[list, list[dict]]:
        decisions = []
        for step in self._steps:
            weights, decision = step.prune(weights, step.site, self.fraction, xp=xp)
            decisions.append(decision)
        return weights, decisions

    def _records(self, decisions: list[dict]) -> dict[str, FilterRecord | PairRecord]:
        return {step.site.layer: step.record(step.site, decision)
                for step, decision in zip(self._steps, decisions)}


class _Step:
    """One layer to prune: how, what record it gives, and the arrays of its decision."""

    def __init__(self, site: Site, prune, record, fields: dict, length: int):
        self.site, self.prune, self.record, self.length = site, prune, record, length
        self.fields = {} if site.skipped else fields
