"""Sign flip: malicious clients send their negated update."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import ScaledSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView


def sign_flip(view: AdversaryView, *, scale: float = 1.0) -> np.ndarray:
    """Return each malicious client's own update times `-scale`, `(c, d)`.

    Args:
        view: the adversary's view; only `own` is used.
        scale: factor; default 1.

    Reference:
        Li et al., "RSA: Byzantine-robust stochastic aggregation methods", AAAI 2019
        (arXiv 1811.03761).
    """
    return np.float32(-scale) * view.own


SIGN_FLIP = UpdateAttack(
    name="sign-flip",
    summary="sends the negated update (--attack-scale: factor, 1)",
    paper="Li et al., AAAI 2019, arXiv 1811.03761",
    settings=ScaledSettings,
    craft=lambda view, own: sign_flip(view, **own.scaled()),
)
