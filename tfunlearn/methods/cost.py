"""What an unlearning costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tfunlearn.federated.client_work import ClientTraining


@dataclass(frozen=True)
class Cost:
    """Sums over an unlearning.

    Attributes:
        rounds: rounds in which clients worked.
        seconds: wall time, evaluation included.
        work_seconds: of the rounds and of what the method did before them, without evaluation.
        client_steps: optimizer steps of all clients.
        bytes_down: models sent to clients, float32.
        bytes_up: updates sent by clients, float32.
        server_storage_bytes: what the method read of what the server had kept.
    """

    rounds: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    client_steps: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    server_storage_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values())))


def round_cost(examples: np.ndarray, training: ClientTraining, parameters: int) -> Cost:
    """Returns the cost of a round of clients with so many `examples` `(n,)` each."""
    steps = -(-examples // training.batch_size) * training.local_epochs
    sent = 4 * parameters * len(examples)
    return Cost(
        rounds=int(len(examples) > 0), client_steps=int(steps.sum()), bytes_down=sent, bytes_up=sent
    )
