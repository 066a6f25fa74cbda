"""Rounds as calls of a TFF learning process; individual client updates are never exposed."""

from __future__ import annotations

import collections
from typing import cast

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.engines.tff.factories import rule_factory
from tfunlearn.engines.tff.learning_process import (
    build_learning_process,
    fed_by_tensors,
    to_model_weights,
)
from tfunlearn.local_training.client_work import ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.local_training.weight_order import WeightOrder


class ProcessRounds:
    """Run rounds inside TFF, with weighted federated averaging or a robust aggregation rule.

    The arguments are those of `federated.AveragingRounds`, which checks them. TFF's own aggregator
    takes the plain mean, and the pruning runs inside the process.
    """

    def __init__(
        self,
        work: ClientWork,
        *,
        seed: int,
        feature_dtype,
        aggregator: Aggregator,
        clients: int | None,
        flap,
        equal_weights: bool,
    ):
        self._work, self._seed, self._flap = work, seed, flap
        self._order, self._aggregator = WeightOrder(work.stateless.model), aggregator
        self._ruled = not aggregator.is_plain_mean
        self.process = build_learning_process(
            work,
            feature_dtype=feature_dtype,
            aggregator=rule_factory(aggregator, clients=cast(int, clients))
            if self._ruled
            else None,
            after_aggregation=None if flap is None else flap.on_tensors,
            equal_weights=equal_weights,
        )
        self._next = fed_by_tensors(self.process, work, feature_dtype).next
        self._template = None

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Run one round; a pure function of its arguments."""
        if self._template is None:
            self._template = self.process.initialize()
        before = self._template._replace(
            global_model_weights=to_model_weights(self._order, state.weights),
            finalizer=np.int32(cohort.round_number - 1),
        )
        if self._ruled:
            reference = state.reference
            before = before._replace(
                aggregator=collections.OrderedDict(
                    round=np.int32(cohort.round_number - 1),
                    reference=before.aggregator["reference"]
                    if reference is None
                    else self._order.flatten(reference),
                )
            )
        after, metrics = self._next(before, list(cohort.tensors(self._work.training, self._seed)))
        work = metrics["client_work"]
        pruned = (
            {}
            if self._flap is None
            else self._flap.records_of(cohort.round_number, metrics["finalizer"])
        )
        loss = float(work["loss_sum"] / work["weights"]) if work["weights"] else None
        report = RoundReport(loss, tuple(int(k) for k in work["dropped"]), pruned)
        weights = [np.asarray(w) for w in self._order.to_list(after.global_model_weights)]
        reference = None
        if self._aggregator.reference == "previous":
            reference = self._order.unflatten(after.aggregator["reference"])
        return ServerState(weights, state.finished + 1, reference), report
