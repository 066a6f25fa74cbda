"""SignGuard: filters by norm and by the balance of signs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.clipping import clipped_mean, row_norms
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import UserError, require_real
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator

LOW, HIGH, WINDOW = 0.1, 3.0, 0.1


def signguard(
    updates,
    *,
    low: float = LOW,
    high: float = HIGH,
    window: float = WINDOW,
    rng: np.random.Generator | None = None,
):
    """Return the mean of the rows that pass both filters, clipped to the median norm.

    The norm filter keeps norms from `low` to `high` times the median norm. The sign filter keeps
    the largest cluster (mean shift) of the shares of positive, zero and negative signs in one
    contiguous window of coordinates, each share divided by its largest.

    Args:
        updates: float32 `(n, d)`, an array; non-finite rows are dropped.
        low, high: bounds of the norm filter, 0 <= low < high; defaults 0.1 and 3.
        window: share of the coordinates, > 0 to 1; default 0.1.
        rng: random generator of the window's place; default one of seed 0.

    Returns:
        float32 `(d,)`. Sample counts are ignored.

    Raises:
        UserError: no finite row, no row that passes both filters, or an argument out of range.

    Reference:
        Xu et al., "Byzantine-robust federated learning through collaborative malicious gradient
        filtering", ICDCS 2022 (arXiv 2109.05872). Without its similarity feature, as in the
        variant SignGuard of the paper.
    """
    rows = finite_stack(updates).rows
    kept = signguard_choice(rows, low=low, high=high, window=window, rng=rng)
    return clipped_mean(rows, kept)[0].astype(np.float32)


def signguard_choice(
    rows: np.ndarray,
    *,
    low: float = LOW,
    high: float = HIGH,
    window: float = WINDOW,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Return the mask of the rows that pass both filters, bool `(n,)`; see `signguard`."""
    _check(low, high, window)
    rng = generator(0, "window of SignGuard") if rng is None else rng
    norms, d = row_norms(rows), rows.shape[1]
    median = float(np.median(norms))
    kept = (norms >= low * median) & (norms <= high * median)
    width = max(int(window * d), 1)
    first = int(rng.integers(d - width + 1))
    kept &= same_signs(rows[:, first : first + width])
    if not kept.any():
        raise UserError(
            f"signguard: at least one update must pass both filters; got none with low={low:g} and "
            f"high={high:g}"
        )
    return kept


def same_signs(part: np.ndarray) -> np.ndarray:
    """Return the mask of the rows in the largest cluster of sign shares, bool `(n,)`.

    Where there is no bandwidth (most rows have equal shares) or no cluster, it is all True.
    """
    from sklearn.cluster import MeanShift, estimate_bandwidth

    shares = np.stack([np.mean(test, axis=1) for test in (part > 0, part == 0, part < 0)], axis=1)
    largest = shares.max(axis=0)
    features = np.divide(shares, largest, out=np.zeros_like(shares), where=largest > 0)
    bandwidth = estimate_bandwidth(features, quantile=0.5)
    if bandwidth <= 0:
        return np.ones(len(part), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a bin per row: all rows are seeds
        found = MeanShift(bandwidth=bandwidth, bin_seeding=True, cluster_all=False).fit(features)
    labels = found.labels_
    if not (labels >= 0).any():
        return np.ones(len(part), bool)
    return labels == np.bincount(labels[labels >= 0]).argmax()


def _check(low: float, high: float, window: float) -> None:
    require_real("low", low, lambda value: 0 <= value < high, f"from 0 to below high ({high:g})")
    require_real("window", window, lambda value: 0 < value <= 1, "above 0, to 1")


@dataclass(frozen=True)
class SignGuardSettings:
    """Settings of SignGuard."""

    low: float = option(LOW, "Smallest norm that is kept, as a multiple of the median norm.")
    high: float = option(HIGH, "Largest norm that is kept, as a multiple of the median norm.")
    window: float = option(WINDOW, "Share of the coordinates whose signs are compared.")

    def __post_init__(self):
        _check(self.low, self.high, self.window)


SIGNGUARD = Rule(
    name="signguard",
    summary="mean of updates of usual norm and usual balance of signs, clipped to the median norm",
    paper="Xu et al., ICDCS 2022, arXiv 2109.05872",
    settings=SignGuardSettings,
    apply=lambda updates, given, own: signguard(updates, rng=given.rng, **vars(own)),
    keeps=lambda rows, given, own: signguard_choice(rows, rng=given.rng, **vars(own)),
    takes_f=False,
    condition="more than half of the clients are benign",
    needs_arrays=lambda own: "rule",
    translates=False,
    ignores_huge=True,
)
