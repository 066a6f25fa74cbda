"""Pruning while `model.fit` trains, as Keras callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfunlearn.core.errors import choose, require, require_flags, require_fraction
from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import every, schedule_config, schedule_of
from tfunlearn.pruning.counting import limit_of
from tfunlearn.pruning.preview import as_recorded
from tfunlearn.pruning.filters import prune_filter_sites
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.pruning_mask import Holding
from tfunlearn.pruning.intervals.propagation import InputRange
from tfunlearn.pruning.pairs import PairChoice
from tfunlearn.pruning.records import Record
from tfunlearn.pruning.sites import (
    Site, chosen_sites, filter_sites, pair_sites, require_prunable)
from tfunlearn.pruning.variables import averages_of, set_value, value_of

UNITS = {"epoch": "at the end of epochs", "step": "after optimizer steps"}


class _Pruning(tf.keras.callbacks.Callback):
    """Prunes when a schedule says so, and holds at zero what was pruned.

    The state is in the weights: what is dead in them is held, so that saving, loading and resuming
    need nothing else. It is read anew wherever somebody else may have set them (when training and
    epochs begin, and when what was held is no longer zero although no step was taken), so that
    weights from before a pruning are left as they are. Moving averages that an optimizer keeps of
    the weights are pruned along, by the same decisions.

    An epoch is pruned after its last batch, before its validation and before any callback's end of
    the epoch; where neither the number of batches nor validation tells which one is the last, at
    this callback's own end of the epoch. Epochs and steps are counted from 1; steps are those of
    the optimizer, which a saved model keeps, or the batches of this training where the model steps
    some other optimizer. A training that begins in a later epoch with an optimizer that has not
    stepped (Keras 3's BackupAndRestore keeps no optimizer) counts the batches of those before.

    Attributes:
        records: number of the epoch or step -> what was pruned then.
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
        self._graph = None
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
            if due:  # several where the model takes more than one step an execution
                self._prune(due[-1])
        elif self._is_open and batch + 1 == self._steps():
            self._close_epoch(self._epoch)

    def on_test_begin(self, logs=None):
        if self._is_open:  # else the model is evaluated apart from a training
            self._close_epoch(self._epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._prepare()
        self._close_epoch(epoch)
        self._is_open = False
        if logs is not None:
            logs.update(self._holding.counts())

    def get_config(self) -> dict:
        """Returns the arguments as JSON values; a schedule of your own stands as it is."""
        return {"fraction": self.fraction, "schedule": schedule_config(self.schedule),
                "by": self.by, "hold": self.hold, "limit": self.limit,
                "layers": None if self.layers is None else list(self.layers)}

    @classmethod
    def from_config(cls, config: dict):
        """Returns a callback with the arguments that `get_config` gave."""
        return cls(**config)

    def _sites(self, graph: Graph) -> tuple[list[Site], list[Site]]:
        """Returns the filter sites and the pair sites to prune."""
        raise NotImplementedError

    def _pruned(self, weights, filters, pairs) -> tuple[list, dict[str, Record]]:
        """Returns pruned weights and what was pruned."""
        raise NotImplementedError

    def _check(self, graph: Graph) -> None:
        """Raises a `UserError` for what would stop a later pruning."""

    def _forget_training(self) -> None:
        """Sets back what is known of the training that goes on.

        `_start`, `_step`: steps of the optimizer before it, and up to now; `_skipped`: those that
        the optimizer does not know of; `_epoch`, from 0, whether it goes on, and the last one that
        needs no pruning any more.
        """
        self._start = self._step = self._skipped = 0
        self._epoch, self._is_open, self._has_begun, self._closed = 0, False, False, None

    def _prepare(self) -> None:
        """Reads the model's graph, once a training."""
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
        """Counts the steps before this training, once all callbacks have begun it."""
        if not self._has_begun:
            self._has_begun, self._start = True, self._iterations()
            if not self._start:
                self._skipped = self._epoch * (self._steps() or 0)
            self._step = self._start + self._skipped
            self._holding.sync(resumed=self._start > 0 or self._epoch > 0)

    def _steps(self) -> int | None:
        """Returns the batches of an epoch, None if nobody knows."""
        return (getattr(self, "params", None) or {}).get("steps")

    def _iterations(self) -> int:
        """Returns how often the model's optimizer has stepped."""
        iterations = getattr(self.model.optimizer, "iterations", None)
        return 0 if iterations is None else int(value_of(iterations))

    def _close_epoch(self, epoch: int) -> None:
        """Prunes an epoch, once, if it is due."""
        if self.by == "epoch" and self._closed != epoch:
            self._closed = epoch
            if self.schedule(epoch + 1):
                self._prepare()
                self._prune(epoch + 1)

    def _prune(self, number: int) -> None:
        before = self._graph.read()
        after, records = self._pruned(before, self._filters, self._pairs)
        self.records[number] = records
        self._graph.write(before, after)
        sites = [site for site in [*self._filters, *self._pairs] if not site.skipped]
        for averages in averages_of(self.model):
            values = [value_of(averages[id(variable)]) if id(variable) in averages else old
                      for variable, old in zip(self._graph.variables, before)]
            for variable, old, new in zip(
                    self._graph.variables, values, as_recorded(values, sites, records)):
                if new is not old and id(variable) in averages:
                    set_value(averages[id(variable)], new)
        self._holding.add(records)


class FilterPruning(_Pruning):
    """Zeroes the filters of least l1 norm during training; see `prune_filters`.

    Adds `pruned_filters`, all that are zero, to the logs of every epoch: list it before
    TensorBoard and the like, and with `by="step"` before whatever saves or sets weights in the
    middle of an epoch. Metrics on validation data of an epoch come after its pruning, metrics on
    training data before it.

    Args:
        fraction: share of each layer's filters that goes each time, in [0, 1); default 0.01.
        schedule: `due(number) -> bool`, number counted from 1; default `every(5)`: 1, 6, 11, ...
        by: `"epoch"` (default): at the end of epochs that are due; `"step"`: after such steps.
        hold: keep what is pruned at zero, against momentum and weight decay; default True. What
            is zero when training begins counts as pruned, a layer of nothing but zeros excepted.
        limit: share of a layer's filters that all prunings together may take, at least `fraction`;
            default None: 0.2, or `fraction` if that is more. The records say where it stopped one.
        include_residual, exclude_zeroed, layers: as for `prune_filters`.

    Raises:
        UserError: an argument is not allowed; when training begins: nothing to prune.

    Example:
        model.fit(x, y, epochs=20, callbacks=[FilterPruning(0.05, every(5, start=3))])
    """

    def __init__(
        self, fraction: float = 0.01, schedule: Callable[[int], bool] = every(5), *,
        by: str = "epoch", hold: bool = True, include_residual: bool = True,
        exclude_zeroed: bool = True, limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        require_flags(include_residual=include_residual, exclude_zeroed=exclude_zeroed)
        self.include_residual, self.exclude_zeroed = include_residual, exclude_zeroed

    def get_config(self) -> dict:
        return {**super().get_config(), "include_residual": self.include_residual,
                "exclude_zeroed": self.exclude_zeroed}

    def _sites(self, graph):
        return filter_sites(graph, include_residual=self.include_residual), []

    def _pruned(self, weights, filters, pairs):
        return prune_filter_sites(
            weights, filters, self.fraction, exclude_zeroed=self.exclude_zeroed, limit=self.limit)


class PairPruning(_Pruning):
    """Merges alike units of Dense layers during training; see `prune_pairs`.

    Adds `pruned_units`, all that are dead, to the logs of every epoch.

    Args:
        fraction, schedule, by, hold, limit: as for `FilterPruning`, of units.
        score, compat, input_range, alpha, beta, zero_incoming, layers: as for `prune_pairs`.

    Raises:
        UserError: an argument is not allowed; when training begins: nothing to prune.
    """

    def __init__(
        self, fraction: float = 0.01, schedule: Callable[[int], bool] = every(5), *,
        by: str = "epoch", hold: bool = True, score: str = "impact", compat: str | None = None,
        input_range: InputRange = (0.0, 1.0), alpha: float = 0.75, beta: float = 0.25,
        zero_incoming: bool | None = None, limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        self.choice = PairChoice(
            self.fraction, score, compat, input_range, alpha, beta, zero_incoming, self.limit)

    def get_config(self) -> dict:
        return {**super().get_config(), **_config_of(self.choice)}

    def _sites(self, graph):
        return [], pair_sites(graph)

    def _check(self, graph):
        self.choice.check(graph, graph.read(), self._pairs)

    def _pruned(self, weights, filters, pairs):
        return self.choice.prune(self._graph, weights, pairs)


class FLAP(_Pruning):
    """Prunes filters, then unit pairs, during training, as FLAP does after an aggregation.

    Adds `pruned_filters` and `pruned_units` to the logs of every epoch.

    Args:
        fraction, schedule, by, hold, limit: as for `FilterPruning`, of filters and units.
        filters: prune filters; default True.
        pairs: prune unit pairs; default True.
        include_residual, exclude_zeroed: as for `prune_filters`.
        score, compat, input_range, alpha, beta, zero_incoming: as for `prune_pairs`.
        layers: names of the layers to prune; default all.

    Raises:
        UserError: an argument is not allowed; when training begins: nothing to prune.

    Reference:
        Meng et al., "Enhancing Federated Learning Robustness using Data-Agnostic Model Pruning".
    """

    def __init__(
        self, fraction: float = 0.01, schedule: Callable[[int], bool] = every(5), *,
        by: str = "epoch", hold: bool = True, filters: bool = True, pairs: bool = True,
        include_residual: bool = True, exclude_zeroed: bool = True, score: str = "impact",
        compat: str | None = None, input_range: InputRange = (0.0, 1.0), alpha: float = 0.75,
        beta: float = 0.25, zero_incoming: bool | None = None, limit: float | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__(fraction, schedule, by, hold, limit, layers)
        require_flags(include_residual=include_residual, exclude_zeroed=exclude_zeroed,
                      filters=filters, pairs=pairs)
        require("filters and pairs", False, filters or pairs, "True for at least one of them")
        self.filters, self.pairs = filters, pairs
        self.include_residual, self.exclude_zeroed = include_residual, exclude_zeroed
        self.choice = PairChoice(
            self.fraction, score, compat, input_range, alpha, beta, zero_incoming, self.limit)

    def get_config(self) -> dict:
        return {**super().get_config(), "include_residual": self.include_residual,
                "exclude_zeroed": self.exclude_zeroed, "filters": self.filters,
                "pairs": self.pairs, **_config_of(self.choice)}

    def _sites(self, graph):
        return (filter_sites(graph, include_residual=self.include_residual) if self.filters else [],
                pair_sites(graph) if self.pairs else [])

    def _check(self, graph):
        self.choice.check(graph, graph.read(), self._pairs)

    def _pruned(self, weights, filters, pairs):
        weights, records = prune_filter_sites(
            weights, filters, self.fraction, exclude_zeroed=self.exclude_zeroed, limit=self.limit)
        weights, merged = self.choice.prune(self._graph, weights, pairs)
        return weights, records | merged


def _config_of(choice: PairChoice) -> dict:
    return {"score": choice.score, "compat": choice.compat,
            "input_range": [np.asarray(end).tolist() for end in choice.input_range],
            "alpha": choice.alpha, "beta": choice.beta, "zero_incoming": choice.zero_incoming}
