"""FedEraser: stored updates of the remaining clients, re-scaled along calibrated directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.vectors import sizes_of


def calibrate(stored: np.ndarray, fresh: np.ndarray, shapes: Sequence[Sequence[int]]) -> np.ndarray:
    """Return calibrated updates: the norm of the stored, the direction of the fresh updates.

        |stored| * fresh / |fresh|    for each client and array

    A fresh update of zeros gives zeros.

    Args:
        stored: updates kept by the server, float32 `(n, d)`.
        fresh: updates of the same clients from the new global model, `(n, d)`.
        shapes: shapes of the model's weights; each array is calibrated separately.

    Returns:
        float32 `(n, d)`.

    Reference:
        Liu et al., "FedEraser: Enabling Efficient Client-Level Data Removal from Federated
        Learning Models" (IWQoS 2021). Calibration is per client as in the paper (the published code
        averages the clients first) and per array as in that code. The paper keeps every second
        round and runs half of the local epochs.
    """
    require("fresh", fresh.shape, fresh.shape == stored.shape, f"shape {stored.shape}")
    result, first = np.zeros_like(stored), 0
    for size in sizes_of(shapes):
        columns = slice(first, first + size)
        old, new = (
            np.linalg.norm(part[:, columns].astype(np.float64), axis=1) for part in (stored, fresh)
        )
        factors = np.divide(old, new, out=np.zeros_like(old), where=new > 0)
        result[:, columns] = fresh[:, columns] * factors[:, None]
        first += size
    return result


def calibration_epochs(local_epochs: int, ratio: float = 0.5) -> int:
    """Return the calibration epochs of a client: `ratio` (the paper's r, default 0.5) times its
    local epochs, rounded up, at least 1."""
    return max(1, int(np.ceil(round(ratio * local_epochs, 6))))
