"""Keras callbacks for pruning during `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import choose, require, require_flags, require_fraction
from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import every, schedule_config, schedule_of
from tfunlearn.pruning.counting import limit_of
from tfunlearn.pruning.filters import prune_filter_sites
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.intervals.propagation import InputRange
from tfunlearn.pruning.pairs import PairChoice
from tfunlearn.pruning.preview import as_recorded
from tfunlearn.pruning.pruning_mask import Holding
from tfunlearn.pruning.records import Record
from tfunlearn.pruning.sites import Site, chosen_sites, filter_sites, pair_sites, require_prunable
from tfunlearn.pruning.variables import averages_of, set_value, value_of

UNITS = {"epoch": "at the end of epochs", "step": "after optimizer steps"}


class _Pruning(tf.keras.callbacks.Callback):
    """Base class of callbacks that prune by a schedule and keep pruned parameters at zero.

    The state is stored in the weights: dead filters and units are kept at zero, so that saving,
    loading and resuming need no other state. It is read again whenever other code may have set
    weights (at the start of training and of epochs, and when parameters that were kept at zero are
    nonzero although no step was taken), so that weights from before a pruning are left unchanged.
    Moving averages that an optimizer keeps of the weights are pruned by the same decisions.

    An epoch is pruned after its last batch, before its validation and before any callback's
    `on_epoch_end`; if neither the number of batches nor validation identifies the last batch, in
    this callback's own `on_epoch_end`. Epochs and steps are counted from 1. Steps are those of the
    optimizer, which a saved model keeps, or the batches of this training if the model steps another
    optimizer. If training starts in a later epoch with an optimizer that has not stepped (Keras 3's
    BackupAndRestore does not store the optimizer), the batches of earlier epochs are counted.

    Attributes:
        records: number of the epoch or step -> records of its pruning.
    """

    def __init__(self, fraction, schedule, by, hold, limit, layers):
        super().__init__()
        self.fraction = require_fraction("fraction", fraction)
        self.limit = limit_of(limit, self.fraction)
        self.schedule = schedule_of(schedule)
        choose("by", by, UNITS)
        require_flags(hold=hold)
        self.by, self.hold = by, hold
        self.layers = layers if layers is None or isinstance(layers, str) else tuple(layers)
        self.records: dict[int, dict[str, Record]] = {}
        self._graph: Graph | None = None
        self._forget_training()

    def on_train_begin(self, logs=None):
        self._graph, self.records = None, {}
        self._forget_training()
        if self.model.built:
            self._prepare()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._is_open = epoch, True
        if self.model.built:
            self._prepare()
            self._begin()
            self._holding.sync()  # callbacks before this one may have set weights

    def on_train_batch_begin(self, batch, logs=None):
        if self._graph is None and not self.model.built:
            return
        self._prepare()
        self._begin()
        if self.hold and not self._holding.is_intact():
            self._holding.sync()

    def on_train_batch_end(self, batch, logs=None):
        self._prepare()
        if self.hold:
            self._holding.enforce()
        before, now = self._step, self._iterations()
        self._step = now + self._skipped if now > self._start else before + 1
        if self.by == "step":
            due = [step for step in range(before + 1, self._step + 1) if self.schedule(step)]
            if due:  # several if the model takes more than one step per execution
                self._prune(due[-1])
        elif self._is_open and batch + 1 == self._steps():
            self._close_epoch(self._epoch)

    def on_test_begin(self, logs=None):
        if self._is_open:  # otherwise the model is evaluated outside training
            self._close_epoch(self._epoch)

    def on_epoch_end(self, epoch, logs: dict[str, Any] | None = None):
        self._prepare()
        self._close_epoch(epoch)
        self._is_open = False
        if logs is not None:
            logs.update(self._holding.counts())

    def get_config(self) -> dict:
        """Return the arguments as JSON values; a custom schedule is returned unchanged."""
        return {
            "fraction": self.fraction,
            "schedule": schedule_config(self.schedule),
            "by": self.by,
            "hold": self.hold,
            "limit": self.limit,
            "layers": None if self.layers is None else list(self.layers),
        }

    @classmethod
    def from_config(cls, config: dict):
        """Return a callback with arguments from `get_config`."""
        return cls(**config)

    def _sites(self, graph: Graph) -> tuple[list[Site], list[Site]]:
        """Return the filter sites and the pair sites to prune."""
        raise NotImplementedError

    def _prune_layers(self, weights, filters, pairs) -> tuple[list, dict[str, Record]]:
        """Return the pruned weights and the records by layer."""
        raise NotImplementedError

    def _check(self, graph: Graph) -> None:
        """Raise a `UserError` for anything that would stop a later pruning."""

    def _forget_training(self) -> None:
        """Reset the state of the current training.

        `_start`, `_step`: optimizer steps before this training, and up to now; `_skipped`: earlier
        steps not counted by the optimizer; `_epoch`: current epoch, from 0; `_is_open`: whether it
        is running; `_has_begun`: whether `_begin` has run; `_closed`: last epoch already handled.
        """
        self._start = self._step = self._skipped = 0
        self._epoch, self._is_open, self._has_begun, self._closed = 0, False, False, None

    def _prepare(self) -> None:
        """Read the model's graph, once per training."""
        if self._graph is None:
            graph = Graph.of(self.model)
            filters, pairs = self._sites(graph)
            sites = chosen_sites([*filters, *pairs], self.layers)
            require_prunable(graph, sites, "filters or unit pairs")
            self._filters, self._pairs = sites[: len(filters)], sites[len(filters) :]
            self._check(graph)
            self._holding = Holding(graph, self._filters, self._pairs)
            self._graph = graph

    def _begin(self) -> None:
        """Count the steps before this training, after all callbacks have started it."""
        if not self._has_begun:
            self._has_begun, self._start = True, self._iterations()
            if not self._start:
                self._skipped = self._epoch * (self._steps() or 0)
            self._step = self._start + self._skipped
            self._holding.sync(resumed=self._start > 0 or self._epoch > 0)

    def _steps(self) -> int | None:
        """Return the number of batches per epoch, or None if unknown."""
        return (getattr(self, "params", None) or {}).get("steps")

    def _iterations(self) -> int:
        """Return the number of steps of the model's optimizer."""
        iterations = getattr(self.model.optimizer, "iterations", None)
        return 0 if iterations is None else int(value_of(iterations))

    def _close_epoch(self, epoch: int) -> None:
        """Prune once for an epoch if it is due."""
        if self.by == "epoch" and self._closed != epoch:
            self._closed = epoch
            if self.schedule(epoch + 1):
                self._prepare()
                self._prune(epoch + 1)

    def _prune(self, number: int) -> None:
        graph = self._graph
        assert graph is not None  # read by `_prepare`
        before = graph.read()
        after, records = self._prune_layers(before, self._filters, self._pairs)
        self.records[number] = records
        graph.write(before, after)
        sites = [site for site in [*self._filters, *self._pairs] if not site.skipped]
        for averages in averages_of(self.model):
            values = [
                value_of(averages[id(variable)]) if id(variable) in averages else old
                for variable, old in zip(graph.variables, before)
            ]
            for variable, old, new in zip(
                graph.variables, values, as_recorded(values, sites, records)
            ):
                if new is not old and id(variable) in averages:
                    set_value(averages[id(variable)], new)
        self._holding.add(records)


class FilterPruning(_Pruning):
    """Zero the filters with the smallest L1 norm during training; see `prune_filters`.

    Adds `pruned_filters`, the total number of zero filters, to the logs of every epoch. List this
    callback before TensorBoard and the like, and with `by="step"` before callbacks that save or set
    weights during an epoch. Validation metrics of an epoch are measured after its pruning, training
    metrics before it.

    Args:
        fraction: share of each layer's filters pruned each time, in [0, 1); default 0.01.
        schedule: `due(number) -> bool`, number counted from 1; default `every(5)`: 1, 6, 11, ...
        by: `"epoch"` (default): at the end of due epochs; `"step"`: after due optimizer steps.
        hold: keep pruned filters at zero despite momentum and weight decay; default True. Filters
            that are zero when training begins count as pruned, except in an all-zero layer.
        limit: largest total share of a layer's filters pruned by all prunings together, at least
            `fraction`; default None: 0.2, or `fraction` if that is more. The records report filters
            kept because of it.
        include_residual, exclude_zeroed, layers: as for `prune_filters`.

    Raises:
        UserError: an argument is invalid; at the start of training: nothing to prune.

    Example:
        model.fit(x, y, epochs=20, callbacks=[FilterPruning(0.05, every(5, start=3))])
    """

    def __init__(
        self,
        fraction: float = 0.01,
        schedule: Callable[[int], bool] = every(5),
        *,
        by: str = "epoch",
        hold: bool = True,
        include_residual: bool = True,
        exclude_zeroed: bool = True,
        limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        require_flags(include_residual=include_residual, exclude_zeroed=exclude_zeroed)
        self.include_residual, self.exclude_zeroed = include_residual, exclude_zeroed

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "include_residual": self.include_residual,
            "exclude_zeroed": self.exclude_zeroed,
        }

    def _sites(self, graph):
        return filter_sites(graph, include_residual=self.include_residual), []

    def _prune_layers(self, weights, filters, pairs):
        return prune_filter_sites(
            weights, filters, self.fraction, exclude_zeroed=self.exclude_zeroed, limit=self.limit
        )


class PairPruning(_Pruning):
    """Merge similar units of Dense layers during training; see `prune_pairs`.

    Adds `pruned_units`, the total number of dead units, to the logs of every epoch.

    Args:
        fraction, schedule, by, hold, limit: as for `FilterPruning`, applied to units.
        score, compat, input_range, alpha, beta, zero_incoming, layers: as for `prune_pairs`.

    Raises:
        UserError: an argument is invalid; at the start of training: nothing to prune.
    """

    def __init__(
        self,
        fraction: float = 0.01,
        schedule: Callable[[int], bool] = every(5),
        *,
        by: str = "epoch",
        hold: bool = True,
        score: str = "impact",
        compat: str | None = None,
        input_range: InputRange = (0.0, 1.0),
        alpha: float = 0.75,
        beta: float = 0.25,
        zero_incoming: bool | None = None,
        limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        self.choice = PairChoice(
            self.fraction, score, compat, input_range, alpha, beta, zero_incoming, self.limit
        )

    def get_config(self) -> dict:
        return {**super().get_config(), **_config_of(self.choice)}

    def _sites(self, graph):
        return [], pair_sites(graph)

    def _check(self, graph):
        self.choice.check(graph, graph.read(), self._pairs)

    def _prune_layers(self, weights, filters, pairs):
        assert self._graph is not None
        return self.choice.prune(self._graph, weights, pairs)


class FLAP(_Pruning):
    """Prune filters, then unit pairs, during training, as FLAP does after an aggregation.

    Adds `pruned_filters` and `pruned_units` to the logs of every epoch.

    Args:
        fraction, schedule, by, hold, limit: as for `FilterPruning`, for filters and units.
        filters: prune filters; default True.
        pairs: prune unit pairs; default True.
        include_residual, exclude_zeroed: as for `prune_filters`.
        score, compat, input_range, alpha, beta, zero_incoming: as for `prune_pairs`.
        layers: names of the layers to prune; default all.

    Raises:
        UserError: an argument is invalid; at the start of training: nothing to prune.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning".
    """

    def __init__(
        self,
        fraction: float = 0.01,
        schedule: Callable[[int], bool] = every(5),
        *,
        by: str = "epoch",
        hold: bool = True,
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
        limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        require_flags(
            include_residual=include_residual,
            exclude_zeroed=exclude_zeroed,
            filters=filters,
            pairs=pairs,
        )
        require("filters and pairs", False, filters or pairs, "True for at least one of them")
        self.filters, self.pairs = filters, pairs
        self.include_residual, self.exclude_zeroed = include_residual, exclude_zeroed
        self.choice = PairChoice(
            self.fraction, score, compat, input_range, alpha, beta, zero_incoming, self.limit
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "include_residual": self.include_residual,
            "exclude_zeroed": self.exclude_zeroed,
            "filters": self.filters,
            "pairs": self.pairs,
            **_config_of(self.choice),
        }

    def _sites(self, graph):
        return (
            filter_sites(graph, include_residual=self.include_residual) if self.filters else [],
            pair_sites(graph) if self.pairs else [],
        )

    def _check(self, graph):
        self.choice.check(graph, graph.read(), self._pairs)

    def _prune_layers(self, weights, filters, pairs):
        weights, records = prune_filter_sites(
            weights, filters, self.fraction, exclude_zeroed=self.exclude_zeroed, limit=self.limit
        )
        assert self._graph is not None
        weights, merged = self.choice.prune(self._graph, weights, pairs)
        return weights, records | merged


def _config_of(choice: PairChoice) -> dict:
    return {
        "score": choice.score,
        "compat": choice.compat,
        "input_range": [np.asarray(end).tolist() for end in choice.input_range],
        "alpha": choice.alpha,
        "beta": choice.beta,
        "zero_incoming": choice.zero_incoming,
    }
