"""Multi-Krum."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.krum import kept_by_krum, krum_without_each, mean_of_best
from tfunlearn.aggregation.krum_flap import krum_flap
from tfunlearn.aggregation.rule import Rule
from tfunlearn.core.errors import refuse, require, require_whole
from tfunlearn.core.fields import option


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


@dataclass(frozen=True)
class MultiKrumSettings:
    """Settings of multi-Krum."""

    selected: int | None = option(None, "Number of updates that are averaged; none: n - f - 2.")
    compat: str | None = option(
        None, "flap: unsquared distances and a shorter step, as in FLAP's published code."
    )

    def __post_init__(self):
        if self.selected is not None:
            require_whole("selected", self.selected, 1)
        require("compat", self.compat, self.compat in (None, "flap"), "None or 'flap'")
        refuse(
            "selected",
            self.selected,
            self.selected is None or not self.compat,
            "with compat flap",
        )


def _apply(updates, given, own):
    if own.compat:
        return krum_flap(updates, f=given.f, sizes=given.sizes, strict=given.strict)
    selected = own.selected
    if selected is not None and isinstance(updates.shape[0], int):  # fewer may be left than planned
        selected = min(selected, updates.shape[0])
    return multi_krum(updates, f=given.f, m=selected, strict=given.strict)


def _without_each(stack, f, own):
    if own.compat:
        return None
    return krum_without_each(stack, f, own.selected or max(stack.n - 1 - f - 2, 1))


MULTI_KRUM = Rule(
    name="multi-krum",
    summary="mean of the updates with the smallest Krum scores",
    paper="Blanchard et al., NeurIPS 2017, arXiv 1703.02757",
    settings=MultiKrumSettings,
    apply=_apply,
    keeps=lambda rows, given, own: kept_by_krum(
        rows, given.f, own.selected or len(rows) - given.f - 2
    ),
    least=lambda f: 2 * f + 3,
    condition="n >= 2f + 3",
    ignores_huge=True,
    validates_f=True,
    needs_arrays=lambda own: "compat" if own.compat else None,
    selects_neighbors=True,
    simulated=lambda own, rows, f: rows - f - 2 if own.selected is None else own.selected,
    without_each=_without_each,
    oracle=oracles.multi_krum,
)
