"""Smallest maximum eigenvalue averaging (SMEA)."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.subsets import CONDITION, least_variance, mean_of_subset
from tfunlearn.core.blocks import centered_gram


def smea(updates, *, f: int, strict: bool = True):
    """Return the mean of the `n - f` rows whose covariance has the least top eigenvalue.

    Args:
        updates: float32 `(n, d)`, an array. Non-finite rows are dropped; each uses up one of the
            `f`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, the condition above, or a search of over 1,000,000 steps.

    Reference:
        Allouah et al., "On the privacy-robustness-utility trilemma in distributed learning",
        ICML 2023 (arXiv 2302.04787). The search is exact, by branch and bound.
    """
    return mean_of_subset("smea", updates, f, strict, kept_by_smea)


def kept_by_smea(rows: np.ndarray, f: int) -> np.ndarray:
    """Return the mask of the rows that SMEA averages, bool `(n,)`."""
    return least_variance(centered_gram(rows), f)


SMEA = Rule(
    name="smea",
    summary="mean of the n - f updates of least variance in any direction",
    paper="Allouah et al., ICML 2023, arXiv 2302.04787",
    apply=lambda updates, given, own: smea(updates, f=given.f, strict=given.strict),
    keeps=lambda rows, given, own: kept_by_smea(rows, given.f),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
    needs_arrays=lambda own: "rule",
    ignores_huge=True,
    validates_f=True,
    averages={},
    oracle=oracles.smea,
)
