"""FedEraser: calibrated replay of the kept rounds, from the initial model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import refuse
from tfunlearn.core.fields import option
from tfunlearn.core.history import HistoryRound
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import RoundReport, ServerState
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import MethodSettings, UnlearningMethod
from tfunlearn.methods.pga import mean_step
from tfunlearn.methods.recovery import positive
from tfunlearn.methods.requirements import missing_history, require_whole_clients
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.training.rounds import gathering_rounds_of
from tfunlearn.unlearning import calibrate, calibration_epochs


@dataclass(frozen=True)
class FedEraserSettings(MethodSettings):
    """Settings of FedEraser."""

    calibration: float = option(
        0.5, "Local epochs of a calibration round, as a share of those in training."
    )

    def __post_init__(self):
        positive("calibration", self.calibration)


def plan(task: UnlearningTask, own: FedEraserSettings) -> Plan:
    """Plan FedEraser: replay the kept rounds without the forgotten clients, calibrating updates.

    The first kept round is applied as stored; in all others the stored updates are calibrated.

    Deviation: updates are averaged with the run's client weights (by examples by default),
    whichever aggregation rule the run had.
    """
    require_whole_clients(task)
    _require_nothing_partly_gone(task)
    history, training = task.source.history, task.source.federation.client_training
    if len(history.rounds) < 2 or history.rounds[0] != 1:
        raise missing_history(task, "the first round and later ones", "every=2 (or all)")
    history.verify()
    ids = {
        number: np.intersect1d(history.ids(number), task.remaining.clients.present)
        for number in history.rounds
    }
    numbers = [number for number in history.rounds if len(ids[number])]
    if not numbers:
        raise missing_history(task, "a round with remaining clients", "all")
    training = dataclasses.replace(
        training, local_epochs=calibration_epochs(training.local_epochs, own.calibration)
    )

    def cohort(number: int) -> Cohort:
        stored = numbers[number - 1]
        return task.recovering.cohort(stored, ids[stored][: 0 if stored == 1 else None])

    return Plan(
        task.read(1).weights,
        len(numbers),
        "rounds",
        training,
        restarts=True,
        report=dict(history_rounds=numbers, local_epochs=training.local_epochs),
        cost=Cost(server_storage_bytes=history.bytes()),
        rounds_by=_rebuild(task, numbers, training),
        cohort=cohort,
    )


def _require_nothing_partly_gone(task: UnlearningTask) -> None:
    """Check that no remaining client's stored updates contain examples forgotten before.

    Raises:
        UserError: examples of a remaining client were forgotten before.
    """
    source = task.source
    before, now = source.federation.clients.sizes, source.remaining.clients.sizes
    partly = [int(k) for k in task.remaining.clients.present if now[k] < before[k]]
    refuse(
        "forget",
        task.request,
        not partly,
        f"with federaser, whose stored updates of clients {partly[:5]} contain examples that were "
        "forgotten before; take retrain",
    )


def _rebuild(task: UnlearningTask, numbers: list[int], training: ClientTraining) -> Callable:
    """Return `(keep or None) -> run_round`; the first stored round is applied uncalibrated."""

    def made(keep: Callable | None) -> Callable:
        engine = gathering_rounds_of(
            task.recovering, task.source.model, training=training, seed=task.seed
        )

        def run_round(state: ServerState, cohort: Cohort) -> tuple[ServerState, RoundReport]:
            number = state.finished + 1
            stored = task.read(numbers[number - 1])
            here = np.isin(stored.ids, task.remaining.clients.present)
            received = HistoryRound(
                number, state.weights, stored.ids[here], stored.updates[here], stored.examples[here]
            )
            report = RoundReport(None)
            if len(cohort.ids):
                fresh, crafted = engine.receive(state, cohort)
                received = _calibrate(received, fresh, task.source.history.shapes)
                loss = (
                    float(np.average(fresh.losses, weights=engine.shares(fresh)))
                    if len(fresh.ids)
                    else None
                )
                report = RoundReport(loss, fresh.dropped, crafted=crafted)
            if keep is not None:
                keep(received)
            weights = state.weights
            if len(received.ids):
                weights = mean_step(weights, received.updates, engine.shares(received))
            return ServerState(weights, number), report

        return run_round

    return made


def _calibrate(stored: HistoryRound, fresh, shapes) -> HistoryRound:
    """Return the calibrated updates of the clients that responded."""
    old, new = (
        np.isin(one, other) for one, other in ((stored.ids, fresh.ids), (fresh.ids, stored.ids))
    )
    return HistoryRound(
        stored.round_number,
        stored.weights,
        stored.ids[old],
        calibrate(stored.updates[old], fresh.stack[new], shapes),
        stored.examples[old],
    )


def describe(report: dict) -> list[str]:
    rounds, epochs = len(report["history_rounds"]), report["local_epochs"]
    return [
        f"from {rounds} kept round{'s' * (rounds != 1)}, {epochs} local epoch{'s' * (epochs != 1)}"
    ]


FEDERASER = UnlearningMethod(
    name="federaser",
    summary="re-scales the stored updates along calibrated directions of the remaining clients",
    paper="Liu et al., IWQoS 2021",
    settings=FedEraserSettings,
    plan=plan,
    requests={"clients": ""},
    needs_history=True,
    describe=describe,
)
