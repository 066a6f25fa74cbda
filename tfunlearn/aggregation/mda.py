"""Minimum-diameter averaging (MDA)."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.subsets import CONDITION, least_diameter, mean_of_subset
from tfunlearn.core.blocks import pairwise_squared_distances


def mda(updates, *, f: int, strict: bool = True):
    """Return the mean of the `n - f` rows whose largest distance to each other is least.

    Args:
        updates: float32 `(n, d)`, an array. Non-finite rows are dropped; each uses up one of the
            `f`.
        f: number of malicious rows to tolerate, 0 to 20: the search takes 2^f steps. Sample counts
            are ignored.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(d,)`. Of several subsets of least diameter, which are common, since one pair
        decides it, the one whose rows come first by the sum of their squared distances to all.

    Raises:
        UserError: no finite row, f above 20, or the condition above.

    Reference:
        El Mhamdi et al., "The hidden vulnerability of distributed learning in Byzantium",
        ICML 2018 (arXiv 1802.07927); Rousseeuw 1985. The search is exact, by vertex covers.
    """
    return mean_of_subset("mda", updates, f, strict, kept_by_mda)


def kept_by_mda(rows: np.ndarray, f: int) -> np.ndarray:
    """Return the mask of the rows that MDA averages, bool `(n,)`."""
    return least_diameter(pairwise_squared_distances(rows), f)


MDA = Rule(
    name="mda",
    summary="mean of the n - f updates of least diameter",
    paper="El Mhamdi et al., ICML 2018, arXiv 1802.07927",
    apply=lambda updates, given, own: mda(updates, f=given.f, strict=given.strict),
    keeps=lambda rows, given, own: kept_by_mda(rows, given.f),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
    needs_arrays=lambda own: "rule",
    ignores_huge=True,
    validates_f=True,
    averages={},
    oracle=oracles.mda,
)
