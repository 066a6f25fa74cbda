"""Suggestion of FedMemPrune's pruning ratio from the distribution of weight changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tfunlearn.core.errors import require, require_real

RULES = ("relative", "decade")
CURVE = np.round(np.arange(50, 99.95, 0.1), 1)  # percentiles searched for the knee
SHOWN = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9)
LEAST, MOST = 0.05, 0.95
FEWEST = 100  # minimum number of nonzero changes for a suggestion


@dataclass(frozen=True)
class RatioSuggestion:
    """Pruning ratio suggested by `suggest_ratio`.

    Attributes:
        ratio: share of all changes that are below the cut and not zero, clipped to 0.05 to 0.95;
            unless clipped, `locate` with this ratio resets weights below the cut, as long as zeros
            rank last there.
        cut: magnitude of change below which a weight would be reset.
        knee: magnitude of change at which the curve starts to rise steeply.
        knee_percentile: percentile of the knee among the nonzero changes; None if the knee was
            given.
        zero_share: share of the changes that are exactly zero, which are excluded.
        percentiles: percentile to magnitude of the nonzero changes.
        rule: rule that derives the cut from the knee, `"relative"` or `"decade"`.
    """

    ratio: float
    cut: float
    knee: float
    knee_percentile: float | None
    zero_share: float
    percentiles: dict[float, float]
    rule: str


def suggest_ratio(
    saliency: np.ndarray | Sequence[np.ndarray],
    *,
    method: str = "relative",
    knee: str | float = "auto",
) -> RatioSuggestion:
    """Suggest a pruning ratio: the share of changes an order of magnitude below the knee.

    The knee is the point of the curve (percentile, log10 of the change), percentiles 50 to 99.9,
    that is farthest from its chord. The cut is knee / 10 (`"relative"`, independent of the learning
    rate) or 10^(m - 1) with m the rounded log10 of the knee (`"decade"`, as stated in the paper).

    The suggestion is ill-conditioned (moving the cut by one decade changes the ratio tenfold) and
    is not applied automatically. The proper method is a sweep over the ratio, graded against
    retraining.

    Args:
        saliency: changes, an array or a list of arrays; only magnitudes are used.
        method: `"relative"` (default) or `"decade"`.
        knee: `"auto"` (default), or the magnitude of change to use as the knee, 1e-30 to 1e30.

    Raises:
        UserError: a setting out of range, changes that are not finite, or fewer than 100 nonzero
            changes.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), Appendix H.2. Deviation: the magnitudes there are lost, so the knee is
        estimated here, and the relative rule is the default.
    """
    require("method", method, method in RULES, " or ".join(RULES))
    arrays = [saliency] if isinstance(saliency, np.ndarray) else saliency
    sizes = np.abs(np.concatenate([np.asarray(array).reshape(-1) for array in arrays]))
    require(
        "saliency", "entries that are not finite", bool(np.isfinite(sizes).all()), "finite numbers"
    )
    moved = sizes[sizes > 0]
    require(
        "saliency",
        f"{len(moved)} changes that are not zero",
        len(moved) >= FEWEST,
        f"at least {FEWEST}",
    )
    require_knee(knee)
    percentile, level = _knee(moved) if knee == "auto" else (None, cast(float, knee))
    exponent = (
        math.log10(level) - 1 if method == "relative" else (math.floor(math.log10(level) + 0.5) - 1)
    )
    cut = 10.0**exponent
    return RatioSuggestion(
        float(np.clip(np.count_nonzero(moved < cut) / len(sizes), LEAST, MOST)),
        cut,
        float(level),
        percentile,
        1 - len(moved) / len(sizes),
        {p: float(v) for p, v in zip(SHOWN, np.percentile(moved, SHOWN))},
        method,
    )


def require_knee(knee: str | float) -> None:
    """Raise a `UserError` unless `knee` is `"auto"` or a number from 1e-30 to 1e30."""
    if knee != "auto":
        require_real(
            "knee",
            knee,
            lambda value: 1e-30 <= value <= 1e30,
            "auto, or a number from 1e-30 to 1e30",
        )


def _knee(moved: np.ndarray) -> tuple[float, float]:
    """Return percentile and value of the point farthest from the chord."""
    heights = np.log10(np.percentile(moved, CURVE))
    along = (CURVE - CURVE[0]) / (CURVE[-1] - CURVE[0])
    gap = np.abs(heights - (heights[0] + along * (heights[-1] - heights[0])))
    place = int(np.argmax(gap))
    return float(CURVE[place]), float(10.0 ** heights[place])
