"""The mean of updates that come in one by one."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.on_arrays import round_to_24_bits
from tfunlearn.core.errors import require


class StreamedMean:
    """Weighted mean of rows added one by one; equal, bit for bit, to `mean` of their stack.

    Args:
        size: length `d` of the rows.
    """

    def __init__(self, size: int):
        self._sum, self._total = np.zeros(size), 0.0

    def add(self, row: np.ndarray, weight: float) -> None:
        """Add a row.

        Args:
            row: float32 `(d,)`, finite; it is not kept.
            weight: its weight, >= 0.
        """
        factor = float(round_to_24_bits(np.asarray(weight, np.float64)))
        if factor:
            self._sum += row.astype(np.float64) * factor
            self._total += factor

    def result(self) -> np.ndarray:
        """Return the mean, float32 `(d,)`.

        Raises:
            UserError: the weights sum to zero.
        """
        require("weights", self._total, self._total > 0, "a sum > 0")
        return (self._sum / self._total).astype(np.float32)
