"""Gaussian attack: malicious clients send noise."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import ScaledSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView


def gaussian(view: AdversaryView, *, scale: float = 1.0) -> np.ndarray:
    """Return independent draws from N(0, scale^2) per malicious client and coordinate, `(c, d)`.

    Args:
        view: the adversary's view; only `rng` and the shape of `own` are used.
        scale: standard deviation; default 1, chosen here (the paper uses 200 on gradients).

    Reference:
        Blanchard et al., NeurIPS 2017 (arXiv 1703.02757).
    """
    return view.rng.standard_normal(view.own.shape, np.float32) * np.float32(scale)


GAUSSIAN = UpdateAttack(
    name="gaussian",
    summary="sends Gaussian noise (--attack-scale: standard deviation, 1)",
    paper="Blanchard et al., NeurIPS 2017, arXiv 1703.02757",
    settings=ScaledSettings,
    craft=lambda view, own: gaussian(view, **own.scaled()),
)
