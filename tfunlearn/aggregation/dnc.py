"""Divide-and-conquer (DnC): spectral outlier removal on random coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack
from tfunlearn.core.blocks import gram, mean_centered
from tfunlearn.core.errors import UserError, require, require_real, require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import generator

DRAWS, COORDINATES, LEFT_OUT = 1, 10_000, 1.0


def dnc(
    updates,
    *,
    f: int,
    draws: int = DRAWS,
    coordinates: int = COORDINATES,
    left_out_factor: float = LEFT_OUT,
    rng: np.random.Generator | None = None,
):
    """Return the mean of the rows that are no spectral outliers in any draw of coordinates.

    In each draw, rows restricted to random coordinates are centered and scored by the squared
    projection onto their top right singular vector; the `ceil(c f)` highest are left out.

    Args:
        updates: float32 `(n, d)`, an array. Non-finite rows are dropped; each uses up one of the
            `f`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        draws: number of draws, >= 1; default 1.
        coordinates: number of coordinates of a draw, >= 1; default 10,000, at most d.
        left_out_factor: c > 0; default 1.
        rng: random generator of the coordinates; default one of seed 0.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, no row that all draws keep, or an argument out of range.

    Reference:
        Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021.
    """
    stack = finite_stack(updates)
    kept = dnc_choice(
        stack.rows,
        f=check_f(f, stack),
        draws=draws,
        coordinates=coordinates,
        left_out_factor=left_out_factor,
        rng=rng,
    )
    return weighted_mean(stack, kept)


def dnc_choice(
    rows: np.ndarray,
    *,
    f: int,
    draws: int = DRAWS,
    coordinates: int = COORDINATES,
    left_out_factor: float = LEFT_OUT,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Return the mask of the rows kept by all draws, bool `(n,)`; see `dnc`."""
    require_whole("draws", draws, 1)
    require_whole("coordinates", coordinates, 1)
    require_real("left_out_factor", left_out_factor, lambda value: value > 0, "a number > 0")
    rng = generator(0, "coordinates of DnC") if rng is None else rng
    n, d = rows.shape
    count = math.ceil(left_out_factor * f - 1e-9)
    require("f", f, count < n, f"such that fewer than all {n} updates are left out, not {count}")
    kept = np.ones(n, bool)
    for _ in range(draws):
        chosen = np.sort(rng.choice(d, coordinates, replace=False)) if coordinates < d else None
        scores = outlier_scores(rows if chosen is None else rows[:, chosen])
        kept[np.argsort(scores, kind="stable")[n - count :]] = False
    if not kept.any():
        raise UserError(
            f"dnc: must keep an update in all draws; got none with draws={draws} and "
            f"left_out_factor={left_out_factor:g}; lower one of them"
        )
    return kept


def outlier_scores(rows: np.ndarray) -> np.ndarray:
    """Return the squared projections onto the top right singular vector of the centered rows.

    They come from the n x n Gram matrix: with its top eigenpair (lambda, u), lambda u_i^2.
    """
    values, vectors = np.linalg.eigh(mean_centered(gram(rows)))
    return max(values[-1], 0.0) * vectors[:, -1] ** 2


@dataclass(frozen=True)
class DnCSettings:
    """Settings of DnC."""

    draws: int = option(DRAWS, "Number of draws of coordinates.")
    coordinates: int = option(COORDINATES, "Number of coordinates of a draw.")
    left_out_factor: float = option(LEFT_OUT, "Updates left out in a draw, as a multiple of f.")

    def __post_init__(self):
        require_whole("draws", self.draws, 1)
        require_whole("coordinates", self.coordinates, 1)
        require_real("left_out_factor", self.left_out_factor, lambda v: v > 0, "a number > 0")


DNC = Rule(
    name="dnc",
    summary="mean without spectral outliers on random coordinates",
    paper="Shejwalkar and Houmansadr, NDSS 2021",
    settings=DnCSettings,
    apply=lambda updates, given, own: dnc(updates, f=given.f, rng=given.rng, **vars(own)),
    keeps=lambda rows, given, own: dnc_choice(rows, f=given.f, rng=given.rng, **vars(own)),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    needs_arrays=lambda own: "rule",
    ignores_huge=True,
    validates_f=False,
    averages={},
)
