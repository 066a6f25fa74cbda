"""Sign flip: malicious clients send their update backwards."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.view import View


def sign_flip(view: View, *, scale: float = 1.0) -> np.ndarray:
    """Returns each attacker's own update times `-scale`, `(c, d)`.

    Args:
        view: what the attackers see; only `own` is used.
        scale: factor, default 1.

    Reference:
        Li et al., "RSA: Byzantine-robust stochastic aggregation methods", AAAI 2019
        (arXiv 1811.03761).
    """
    return np.float32(-scale) * view.own
