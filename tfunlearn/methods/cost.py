"""Cost of an unlearning."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.records import Cost
from tfunlearn.local_training.client_work import ClientTraining


def round_cost(examples: np.ndarray, training: ClientTraining, parameters: int) -> Cost:
    """Return the cost of one round of clients that hold `examples` `(n,)` examples each."""
    steps = -(-examples // training.batch_size) * training.local_epochs
    sent = 4 * parameters * len(examples)
    return Cost(
        rounds=int(len(examples) > 0), client_steps=int(steps.sum()), bytes_down=sent, bytes_up=sent
    )


__all__ = ["Cost", "round_cost"]
