"""Mean of the nearest neighbors of a trusted update (MoNNA)."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.on_arrays import squared_distances
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows
from tfunlearn.core.errors import require

CONDITION = "f < n"


def monna(updates, trusted, *, f: int, strict: bool = True):
    """Return the mean of the `n - f` rows nearest to a trusted update.

    Args:
        updates: float32 `(n, d)`, an array. Non-finite rows are dropped; each uses up one of the
            `f`.
        trusted: `(d,)`, the pivot: here the server's own update.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        strict: refuse `n < f + 1`; default True. False warns.

    Returns:
        float32 `(d,)`; of equally near rows the first.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Farhadkhani et al., "Robust collaborative learning with linear gradient overhead", ICML 2023
        (arXiv 2209.10931).
    """
    require("trusted", trusted, trusted is not None, "the server's own update")
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("monna", stack, f, f + 1, CONDITION, strict=strict)
    kept = kept_by_monna(stack.rows, np.asarray(trusted, np.float32), f)
    return weighted_mean(stack, kept)


def kept_by_monna(rows: np.ndarray, trusted: np.ndarray, f: int) -> np.ndarray:
    """Return the mask of the rows nearest to `trusted`, bool `(n,)`."""
    kept = np.zeros(len(rows), bool)
    nearest = np.argsort(squared_distances(rows, trusted), kind="stable")
    kept[nearest[: max(len(rows) - f, 1)]] = True
    return kept


MONNA = Rule(
    name="monna",
    summary="mean of the n - f updates nearest to the server's own update",
    paper="Farhadkhani et al., ICML 2023, arXiv 2209.10931",
    apply=lambda updates, given, own: monna(
        updates, given.reference, f=given.f, strict=given.strict
    ),
    reference="trusted",
    least=lambda f: f + 1,
    condition=CONDITION,
    needs_arrays=lambda own: "rule",
    ignores_huge=True,
    validates_f=True,
    translates=False,
    scales=False,
    averages={},
)
