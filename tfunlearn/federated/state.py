"""The state of a federation between two rounds: it is the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ServerState:
    """What the server holds after a round.

    Attributes:
        weights: the global model, in the order of `model.get_weights()`.
        finished: number of finished rounds.
        reference: `(d,)` in the order of `model.get_weights()`, the aggregate of the round
            before, where the rule starts from it; else None.
    """

    weights: list[np.ndarray]
    finished: int = 0
    reference: np.ndarray | None = None


@dataclass(frozen=True)
class RoundReport:
    """What happened in a round.

    Attributes:
        train_loss: mean training loss over the examples of all counted clients; None if none.
        dropped: ids of clients whose update was not finite.
        pruned: what the defence pruned, a mapping from layer name to record.
        crafted: ids of clients whose update was exchanged for a crafted one.
        rejected: ids of clients whose update the server rejected.
    """

    train_loss: float | None
    dropped: tuple[int, ...] = ()
    pruned: dict = field(default_factory=dict)
    crafted: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
