"""Multi-Krum."""

from __future__ import annotations

from tfunlearn.aggregation.krum import mean_of_best


def multi_krum(updates, *, f: int, m: int | None = None, strict: bool = True):
    """Return the mean of the `m` rows with the lowest Krum scores, which are computed once.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; see `krum`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        m: number of rows to average, 1 (Krum) to n (the plain mean); default `n - f - 2`, the
            upper end of the range covered by the proof; a larger m causes a warning.
        strict: refuse `n < 2f + 3`; default True. False warns.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or one of the conditions above.

    Reference:
        Blanchard et al., NeurIPS 2017 (arXiv 1703.02757).
    """
    return mean_of_best(updates, f, m, strict, "multi_krum")
