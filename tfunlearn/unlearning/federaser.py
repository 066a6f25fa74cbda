"""FedEraser: stored updates of the remaining clients, turned to where they now point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.vectors import sizes_of


def calibrated(
    stored: np.ndarray, fresh: np.ndarray, shapes: Sequence[Sequence[int]]
) -> np.ndarray:
    """Returns stored updates' lengths in the fresh updates' directions, for each client and array.

        |stored| * fresh / |fresh|

    A fresh update of zeros gives zeros.

    Args:
        stored: updates that the server kept, float32 `(n, d)`.
        fresh: updates of the same clients from the new global model, `(n, d)`.
        shapes: of the model's weights; each array is calibrated by itself.

    Returns:
        float32 `(n, d)`.

    Reference:
        Liu et al., "FedEraser: Enabling Efficient Client-Level Data Removal from Federated
        Learning Models" (IWQoS 2021). By client as in the paper; the published code averages the
        clients first. By array as in that code. That every second round is kept and half of the
        local epochs are run is the paper's setting.
    """
    require("fresh", fresh.shape, fresh.shape == stored.shape, f"shape {stored.shape}")
    result, first = np.zeros_like(stored), 0
    for size in sizes_of(shapes):
        columns = slice(first, first + size)
        old, new = (np.linalg.norm(part[:, columns].astype(np.float64), axis=1)
                    for part in (stored, fresh))
        factors = np.divide(old, new, out=np.zeros_like(old), where=new > 0)
        result[:, columns] = fresh[:, columns] * factors[:, None]
        first += size
    return result


def calibration_epochs(local_epochs: int, ratio: float = 0.5) -> int:
    """Returns the epochs of a calibrating client, `ratio` (the paper's r, 0.5) of its usual ones,
    rounded up, at least 1."""
    return max(1, int(np.ceil(round(ratio * local_epochs, 6))))
