"""Rounds that aggregate as updates come in; individual client updates are never exposed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.aggregation.streaming import StreamedMean
from tfunlearn.core.errors import require
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.engines import Engine, choose_engine
from tfunlearn.federated.gathering import GatheringRounds
from tfunlearn.local_training.client_work import ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.local_training.weight_order import WeightOrder

INSIDE_BYTES = 2**28  # updates of a round above which the mean is no longer taken inside an engine


class AveragingRounds:
    """Run rounds with weighted federated averaging or a robust aggregation rule.

    The tff engine aggregates inside TFF, which keeps about three times the updates of a round;
    the mean only while they do not exceed `INSIDE_BYTES`. Elsewhere, and above that, the mean is
    taken of the updates as they come in, without keeping them. Without TFF, the other rules take
    the updates of the round.

    Args:
        work: the local training.
        seed: the run's seed.
        engine: runs the clients; default that of `choose_engine`.
        feature_dtype: dtype of the clients' images.
        aggregator: the aggregation rule; default the example-weighted mean.
        clients: number of clients per round, required by all rules except the plain mean.
        flap: a `Flap` that prunes after each aggregation; default none.
        equal_weights: weight all clients equally; default False, weight by number of examples.
    """

    def __init__(
        self,
        work: ClientWork,
        *,
        seed: int,
        engine: Engine | None = None,
        feature_dtype=np.uint8,
        aggregator: Aggregator = Aggregator(),
        clients: int | None = None,
        flap=None,
        equal_weights: bool = False,
    ):
        require(
            "rule",
            aggregator.rule,
            aggregator.reference != "trusted",
            "any rule but fltrust, whose trusted update needs a gathering round",
        )
        engine = choose_engine() if engine is None else engine
        common: dict[str, Any] = dict(
            seed=seed,
            feature_dtype=feature_dtype,
            aggregator=aggregator,
            flap=flap,
            equal_weights=equal_weights,
        )
        self._is_mean = aggregator.is_plain_mean
        self._update_bytes = 4 * (work.trainable_size + work.state_size)
        self._inside = engine.aggregating_rounds(work, clients=clients, **common)
        if self._is_mean:
            self._elsewhere = lambda: _StreamingRounds(
                work, engine, seed, feature_dtype, flap, equal_weights=equal_weights
            )
        else:
            if clients is not None:
                aggregator.check(clients)
            self._elsewhere = lambda: GatheringRounds(work, engine=engine, **common)

    @cached_property
    def _outside(self) -> Callable:
        return self._elsewhere()

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Run one round; a pure function of its arguments."""
        size = len(cohort.ids) * self._update_bytes
        if self._inside is None or (self._is_mean and size > INSIDE_BYTES):
            return self._outside(state, cohort)
        return self._inside(state, cohort)


class _StreamingRounds:
    """Rounds with the mean; at most a few updates exist at a time. Arguments as above."""

    def __init__(
        self,
        work: ClientWork,
        engine: Engine,
        seed: int,
        feature_dtype,
        flap,
        *,
        equal_weights: bool,
    ):
        self._work, self._seed, self._flap = work, seed, flap
        self._equal_weights = equal_weights
        self._order = WeightOrder(work.stateless.model)
        self._shapes = [tuple(w.shape) for w in work.stateless.model.weights]
        self._train = engine.mapper(work.trace(feature_dtype))

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        split = self._order.split(state.weights)
        trainable, statistics = to_vector(split.trainable), to_vector(split.non_trainable)
        size = len(trainable) + len(statistics)
        shares = np.ones(len(cohort.ids)) if self._equal_weights else cohort.examples
        total, losses = StreamedMean(size), np.zeros(len(cohort.ids))
        finite, row = np.zeros(len(cohort.ids), bool), np.empty(size, np.float32)
        handed = cohort.tensors(self._work.training, self._seed)
        for place, result in self._train(trainable, statistics, handed):
            delta, statistics_delta, finite[place], losses[place] = result
            if finite[place]:
                self._order.write(row, delta, statistics_delta)
                total.add(row, shares[place])
        weights, loss = state.weights, None
        if finite.any():
            step = from_vector(total.result(), self._shapes)
            weights = [old + new for old, new in zip(weights, step)]
            loss = float(np.average(losses[finite], weights=shares[finite]))
        pruned = {}
        if self._flap is not None:
            weights, pruned = self._flap(cohort.round_number, weights)
        dropped = tuple(int(k) for k in cohort.ids[~finite])
        return ServerState(weights, state.finished + 1), RoundReport(loss, dropped, pruned)
