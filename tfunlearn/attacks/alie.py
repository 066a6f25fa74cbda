"""A little is enough (ALIE): a shift within the spread of benign updates."""

from __future__ import annotations

import statistics

import numpy as np

from tfunlearn.attacks.attack import ScaledSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.errors import UserError


def alie(view: AdversaryView, *, scale: float | None = None) -> np.ndarray:
    """Return `mean - z * deviation` of the known updates for all malicious clients, `(c, d)`.

        s = floor(n / 2 + 1) - c;   z = quantile of N(0, 1) at (n - c - s) / (n - c)

    Args:
        view: the adversary's view; mean and standard deviation (1/m) are those of `known`.
        scale: z; default by the formula.

    Raises:
        UserError: fewer than two known updates, or no z > 0 by the formula.

    Reference:
        Baruch et al., "A little is enough: circumventing defenses for distributed learning",
        NeurIPS 2019 (arXiv 1902.06156).
    """
    view.need_spread("alie")
    z = little_enough(view.clients, len(view.own)) if scale is None else scale
    known = view.known
    return view.everywhere(
        known.mean(axis=0, dtype=np.float64) - z * known.std(axis=0, dtype=np.float64)
    )


def little_enough(clients: int, malicious: int) -> float:
    """Return z for n clients, c of them malicious.

    Raises:
        UserError: z is undefined or not positive, so that nothing would be shifted.
    """
    supporters = clients // 2 + 1 - malicious
    honest = clients - malicious
    z = 0.0
    if 0 < supporters < honest:
        z = statistics.NormalDist().inv_cdf((honest - supporters) / honest)
    if z <= 0:
        raise UserError(
            "malicious: alie needs z > 0; give another number of malicious clients, or "
            f"attack_scale; got {malicious} of {clients} clients, z={z:.2f}"
        )
    return z


def _condition(clients: int, malicious: int, own: ScaledSettings) -> str | None:
    if own.attack_scale is None:
        little_enough(clients, malicious)
    return None


ALIE = UpdateAttack(
    name="alie",
    summary="shifts the mean by z standard deviations of benign updates (--attack-scale: z)",
    paper="Baruch et al., NeurIPS 2019, arXiv 1902.06156",
    settings=ScaledSettings,
    craft=lambda view, own: alie(view, **own.scaled()),
    needs_spread=("partial", "full"),
    condition=_condition,
)
