"""Server state between two rounds, which is also the checkpoint, and the report of a round."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ServerState:
    """Server state after a round.

    Attributes:
        weights: the global model, in the order of `model.get_weights()`.
        finished: number of completed rounds.
        reference: `(d,)` in the order of `model.get_weights()`, the previous aggregate, if the
            aggregation rule starts from it; else None.
    """

    weights: list[np.ndarray]
    finished: int = 0
    reference: np.ndarray | None = None


@dataclass(frozen=True)
class RoundReport:
    """Report of a round.

    Attributes:
        train_loss: mean training loss of the clients with finite updates, weighted by their
            examples (unweighted under `equal_weights`); None if no update was aggregated.
        dropped: ids of clients whose update was not finite.
        pruned: layers pruned by the defense, a mapping from layer name to record.
        crafted: ids of clients whose update was replaced by a crafted one.
        rejected: ids of clients whose update the server rejected.
    """

    train_loss: float | None
    dropped: tuple[int, ...] = ()
    pruned: dict = field(default_factory=dict)
    crafted: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
