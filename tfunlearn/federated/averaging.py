"""A round as one call of a TFF learning process: nobody sees single updates."""

from __future__ import annotations

import numpy as np

from tfunlearn.federated.client_work import ClientWork
from tfunlearn.federated.cohort import Cohort
from tfunlearn.federated.learning_process import (
    WeightOrder, build_learning_process, fed_by_tensors)
from tfunlearn.federated.state import RoundReport, ServerState


class AveragingRounds:
    """Runs rounds of weighted federated averaging inside TFF.

    Args:
        work: the local training.
        seed: the run's seed.
        image_dtype: dtype of the clients' images.
        flap: a `Flap` that prunes after each aggregation, inside the process; default none.
    """

    def __init__(self, work: ClientWork, *, seed: int, image_dtype=np.uint8, flap=None):
        self._work, self._seed, self._flap = work, seed, flap
        self._order = WeightOrder(work.stateless.model)
        self.process = build_learning_process(
            work, image_dtype=image_dtype,
            after_aggregation=None if flap is None else flap.on_tensors)
        self._next = fed_by_tensors(self.process, work, image_dtype).next
        self._template = None

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Runs one round; a pure function of its arguments."""
        if self._template is None:
            self._template = self.process.initialize()
        before = self._template._replace(
            global_model_weights=self._order.to_model_weights(state.weights),
            finalizer=np.int32(cohort.round_number - 1))
        after, metrics = self._next(before, cohort.tensors(self._work.training, self._seed))
        work = metrics["client_work"]
        pruned = {} if self._flap is None else self._flap.records_of(
            cohort.round_number, metrics["finalizer"])
        loss = float(work["loss_sum"] / work["examples"]) if work["examples"] else None
        report = RoundReport(loss, tuple(int(k) for k in work["dropped"]), pruned)
        weights = [np.asarray(w) for w in self._order.to_list(after.global_model_weights)]
        return ServerState(weights, state.finished + 1), report
