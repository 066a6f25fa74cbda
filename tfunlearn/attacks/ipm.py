"""Inner product manipulation (IPM)."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import ScaledSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView


def ipm(view: AdversaryView, *, scale: float = 0.5) -> np.ndarray:
    """Return `-scale` times the mean of the known updates for all malicious clients, `(c, d)`.

    Args:
        view: the adversary's view.
        scale: epsilon > 0; small values pass robust rules, large values break the mean. Default
            0.5, chosen here.

    Reference:
        Xie et al., "Fall of empires: breaking Byzantine-tolerant SGD by inner product
        manipulation", UAI 2019 (arXiv 1903.03936).
    """
    return view.everywhere(-scale * view.known.mean(axis=0, dtype=np.float64))


IPM = UpdateAttack(
    name="ipm",
    summary="sends the negated mean of benign updates (--attack-scale: factor, 0.5)",
    paper="Xie et al., UAI 2019, arXiv 1903.03936",
    settings=ScaledSettings,
    craft=lambda view, own: ipm(view, **own.scaled()),
)
