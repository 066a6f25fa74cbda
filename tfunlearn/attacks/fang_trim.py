"""Fang's attack on trimmed mean and median: values just outside the range of benign ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import ScaledSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.errors import choose, refuse, require
from tfunlearn.core.fields import option

SPACES = {"model": None, "delta": None}


def fang_trim(view: AdversaryView, *, scale: float = 2.0, space: str = "model") -> np.ndarray:
    """Return updates that push every coordinate against its direction of change.

    Full knowledge, per coordinate of the benign models, b = scale: where the aggregate would
    decrease, c draws from [max, b max] (from [max, max / b] if max <= 0); where it would increase,
    from [min / b, min] (from [b min, min] if min <= 0). Partial knowledge, with mean m and
    standard deviation v of the malicious clients' own models: from [m + 3v, m + 4v] where it would
    decrease, from [m - 4v, m - 3v] where it would increase.

    Args:
        view: the adversary's view.
        scale: b > 1; default 2. Used under full knowledge only.
        space: the values are weights (`"model"`, default, as in the paper) or updates (`"delta"`,
            far weaker, since the intervals scale with the values).

    Returns:
        `(c, d)`, independent draws per malicious client and coordinate.

    Raises:
        UserError: partial knowledge of fewer than two updates, or an argument out of range.

    Reference:
        Fang et al., USENIX Security 2020 (arXiv 1911.11815), section 4.4.
    """
    choose("attack_space", space, SPACES)
    require("attack_scale", scale, scale > 1, "a number > 1 with fang-trim")
    origin = view.model.astype(np.float64) if space == "model" else 0.0
    rising = view.rising()
    if view.benign is None:
        view.need_spread("fang-trim")
        center = origin + view.own.mean(axis=0, dtype=np.float64)
        spread = view.own.std(axis=0, dtype=np.float64)
        near, far = _sign(rising, center, 3 * spread), _sign(rising, center, 4 * spread)
    else:
        high, low = origin + view.benign.max(axis=0), origin + view.benign.min(axis=0)
        near = np.where(rising, low, high)
        outwards = (near > 0) ^ rising  # away from zero: times b; toward it: divided by b
        far = np.where(outwards, near * scale, near / scale)
    draws = view.rng.random(view.own.shape)
    return (near + draws * (far - near) - origin).astype(np.float32)


def _sign(rising: np.ndarray, center: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return np.where(rising, center - distance, center + distance)


@dataclass(frozen=True)
class FangTrimSettings(ScaledSettings):
    """Settings of fang-trim."""

    attack_space: str = option("model", f"What the intervals are taken from: {', '.join(SPACES)}.")

    def __post_init__(self):
        super().__post_init__()
        choose("attack_space", self.attack_space, SPACES)
        refuse(
            "attack_scale",
            self.attack_scale,
            self.attack_scale is None or self.knowledge == "full",
            "with fang-trim and knowledge partial",
        )
        require(
            "attack_scale",
            self.attack_scale,
            self.attack_scale is None or self.attack_scale > 1,
            "more than 1 with fang-trim",
        )


FANG_TRIM = UpdateAttack(
    name="fang-trim",
    summary="values just outside the range of benign ones, against trimmed mean and median "
    "(--attack-scale: b, 2)",
    paper="Fang et al., USENIX Security 2020, arXiv 1911.11815",
    settings=FangTrimSettings,
    craft=lambda view, own: fang_trim(view, space=own.attack_space, **own.scaled()),
    needs_spread=("partial",),
)
