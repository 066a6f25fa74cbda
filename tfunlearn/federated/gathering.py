"""Rounds in which the server gathers all client updates as the rows of one stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.aggregation.on_arrays import finite_rows
from tfunlearn.attacks import Adversary
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import require
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector, sizes_of, to_vector
from tfunlearn.engines import Engine, choose_engine
from tfunlearn.local_training.client_work import ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.local_training.weight_order import WeightOrder


@dataclass(frozen=True)
class Updates:
    """The finite updates of a round's clients, ordered by client id.

    Attributes:
        ids: `(n,)` client ids.
        stack: float32 `(n, d)`, each row in the order of `model.get_weights()`.
        examples: `(n,)` numbers of examples.
        losses: `(n,)` mean training losses.
        dropped: ids of clients whose update was not finite.
    """

    ids: np.ndarray
    stack: np.ndarray
    examples: np.ndarray
    losses: np.ndarray
    dropped: tuple[int, ...]

    def only(self, kept: np.ndarray) -> Updates:
        """Return the updates selected by a mask `(n,)`; the others are recorded as dropped."""
        dropped = sorted({*self.dropped, *(int(k) for k in self.ids[~kept])})
        return replace(self.at(kept), dropped=tuple(dropped))

    def at(self, kept: np.ndarray) -> Updates:
        """Return the updates selected by a mask `(n,)`."""
        if kept.all():
            return self
        return Updates(
            self.ids[kept], self.stack[kept], self.examples[kept], self.losses[kept], self.dropped
        )


def apply_adversary(
    updates: Updates,
    adversary: Adversary | None,
    model: np.ndarray,
    round_number: int,
    *,
    reference: np.ndarray | None = None,
) -> tuple[Updates, tuple[int, ...]]:
    """Return the updates as received by the server, and the ids of clients with crafted updates.

    Args:
        updates: updates as trained.
        adversary: replaces malicious updates by crafted ones, or None.
        model: the global weights at the start of the round, `(d,)`.
        round_number: round, counted from 1.
        reference: the previous aggregate, if the rule starts from it.
    """
    if adversary is None or not len(updates.ids):
        return updates, ()
    stack, crafted = adversary(
        updates.stack,
        updates.ids,
        model,
        round_number,
        dropped=len(updates.dropped),
        reference=reference,
    )
    received = replace(updates, stack=stack).only(finite_rows(stack))
    return received, tuple(int(k) for k in crafted)


class GatheringRounds:
    """Run rounds that expose individual updates to attacks, robust rules and unlearning.

    Args:
        work: the local training.
        seed: the run's seed.
        engine: runs the clients; default that of `choose_engine`.
        feature_dtype: dtype of the clients' images.
        aggregator: the aggregation rule; default the example-weighted mean.
        adversary: replaces malicious updates by crafted ones; default none.
        rejection: `(model, stack, *, weights, dropped, reference, round_number) -> kept (n,)`, such
            as a `Rejection`, called before the aggregation if at least 2 updates are left;
            default none.
        server_examples: a client set with the server as its only client, for the trusted update of
            fltrust; default none.
        flap: a `Flap` that prunes after each aggregation; default none.
        keep: `(HistoryRound) -> None`, called in each round with the updates that the server
            received; default none.
        excluded: ids of clients whose updates are received but never aggregated; default none.
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
        adversary: Adversary | None = None,
        rejection: Callable | None = None,
        server_examples: ClientSet | None = None,
        flap=None,
        keep: Callable[[HistoryRound], None] | None = None,
        excluded: Sequence[int] | np.ndarray = (),
        equal_weights: bool = False,
    ):
        require(
            "server_examples",
            server_examples,
            aggregator.reference != "trusted" or server_examples is not None,
            f"a client set, since {aggregator.rule} needs the server's own update",
        )
        self._work, self._seed, self._flap = work, seed, flap
        self._aggregator, self._adversary, self._rejection = aggregator, adversary, rejection
        self._server, self._keep, self._excluded = server_examples, keep, np.asarray(excluded, int)
        self._equal_weights = equal_weights
        self._order = WeightOrder(work.stateless.model)
        self._shapes = [tuple(w.shape) for w in work.stateless.model.weights]
        engine = choose_engine() if engine is None else engine
        self._train = engine.mapper(work.trace(feature_dtype))

    def gather(self, weights: list[np.ndarray], cohort: Cohort) -> Updates:
        """Train a cohort from `weights` and return its updates as trained."""
        return self._gather_updates(weights, cohort, "client")

    def _gather_updates(self, weights: list[np.ndarray], cohort: Cohort, who: str) -> Updates:
        seed = self._seed if who == "client" else int(integers(self._seed, who)[0])
        split = self._order.split(weights)
        trainable, state = to_vector(split.trainable), to_vector(split.non_trainable)
        handed = cohort.tensors(self._work.training, seed)
        size = len(trainable) + len(state)
        stack = np.empty((len(handed), size), np.float32)
        finite, losses = np.empty(len(handed), bool), np.empty(len(handed), np.float64)
        for row, result in self._train(trainable, state, handed):
            delta, state_delta, finite[row], losses[row] = result
            self._order.write(stack[row], delta, state_delta)
        return Updates(cohort.ids, stack, cohort.examples, losses, ()).only(finite)

    def __call__(self, state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
        """Run one round; a pure function of its arguments."""
        reference = self._reference(state, cohort)
        updates, crafted = self._receive(state, cohort, reference)
        if self._keep is not None:
            self._keep(
                HistoryRound(
                    cohort.round_number, state.weights, updates.ids, updates.stack, updates.examples
                )
            )
        kept, rejected = self._evaluate_update(
            updates, state.weights, reference, cohort.round_number
        )
        weights, loss = state.weights, None
        if len(kept.ids):
            step = self._aggregator(
                kept.stack,
                weights=self.shares(kept),
                dropped=len(kept.dropped),
                reference=reference,
                round_number=cohort.round_number,
                rng=generator(self._seed, "noise", cohort.round_number),
                model=to_vector(state.weights),
            )
            weights = [old + new for old, new in zip(weights, from_vector(step, self._shapes))]
            loss = float(np.average(updates.losses, weights=self.shares(updates)))
            reference = step
        pruned = {}
        if self._flap is not None:
            weights, pruned = self._flap(cohort.round_number, weights)
        if self._aggregator.reference != "previous":
            reference = None
        return (
            ServerState(weights, state.finished + 1, reference),
            RoundReport(loss, updates.dropped, pruned, crafted, rejected),
        )

    def shares(self, updates: Updates | HistoryRound) -> np.ndarray:
        """Return the aggregation weight of each client, `(n,)`."""
        return np.ones(len(updates.ids)) if self._equal_weights else updates.examples

    def receive(self, state: ServerState, cohort: Cohort) -> tuple[Updates, tuple[int, ...]]:
        """Train a cohort; return the received updates and the ids of clients with crafted ones."""
        return self._receive(state, cohort, self._reference(state, cohort))

    def _receive(
        self, state: ServerState, cohort: Cohort, reference: np.ndarray | None
    ) -> tuple[Updates, tuple[int, ...]]:
        """Train a cohort; return the received updates and the ids of clients with crafted ones."""
        return apply_adversary(
            self.gather(state.weights, cohort),
            self._adversary,
            to_vector(state.weights),
            cohort.round_number,
            reference=reference if self._aggregator.reference == "previous" else None,
        )

    def _reference(self, state: ServerState, cohort: Cohort) -> np.ndarray | None:
        """Return the reference vector `(d,)` that the rule requires, or None."""
        if self._aggregator.reference == "previous":
            size = sum(sizes_of(self._shapes))
            return np.zeros(size, np.float32) if state.reference is None else state.reference
        if self._aggregator.reference is None:
            return None
        return self.server_update(state.weights, cohort.round_number)

    def server_update(self, weights: list[np.ndarray], round_number: int) -> np.ndarray:
        """Return the server's own update `(d,)`; zeros if it is not finite."""
        server = cast(ClientSet, self._server)  # required with fltrust
        alone = Cohort(round_number, np.array([0]), server, np.ones(1))
        stack = self._gather_updates(weights, alone, "server").stack
        return stack[0] if len(stack) else np.zeros(stack.shape[1], np.float32)

    def _evaluate_update(
        self,
        updates: Updates,
        weights: list[np.ndarray],
        reference: np.ndarray | None,
        round_number: int,
    ) -> tuple[Updates, tuple[int, ...]]:
        """Return the updates that the server accepts, and the ids of the rejected clients."""
        accepted = updates.at(~np.isin(updates.ids, self._excluded))
        if self._rejection is not None and len(accepted.ids) >= 2:
            accepted = accepted.at(
                self._rejection(
                    weights,
                    accepted.stack,
                    weights=self.shares(accepted),
                    dropped=len(accepted.dropped),
                    reference=reference,
                    round_number=round_number,
                )
            )
        return accepted, tuple(int(k) for k in np.setdiff1d(updates.ids, accepted.ids))
