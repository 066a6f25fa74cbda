"""Inner product manipulation."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.view import View


def ipm(view: View, *, scale: float = 0.5) -> np.ndarray:
    """Returns `-scale` times the mean of the known honest updates, the same for all, `(c, d)`.

    Args:
        view: what the attackers see.
        scale: epsilon > 0; small ones pass robust rules, large ones break the mean. Default 0.5,
            chosen here.

    Reference:
        Xie et al., "Fall of empires: breaking Byzantine-tolerant SGD by inner product
        manipulation", UAI 2019 (arXiv 1903.03936).
    """
    return view.everywhere(-scale * view.known.mean(axis=0, dtype=np.float64))
