"""Merging of unit pairs in a list of weights: the kept unit receives the outgoing weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.pruning.records import PairRecord
from tfunlearn.pruning.sites import Site


def merge_pairs(weights: list[np.ndarray], site: Site, record: PairRecord) -> list[np.ndarray]:
    """Return `weights` with the chosen pairs of a record merged; changed arrays are copies."""
    kept, removed = (np.array(units, np.int64) for units in (record.kept, record.removed))
    new = list(weights)
    if not len(removed):
        return new
    for entry in site.outgoing:
        rows = new[entry] = new[entry].copy()
        rows[kept] += rows[removed]
        rows[removed] = 0
    if record.zero_incoming:
        bias = [] if site.bias is None else [site.bias]
        for entry in (site.kernel, *site.followers, *bias):
            new[entry] = new[entry].copy()
            new[entry][..., removed] = 0
    return new


def bias_and_rows(
    weights: Sequence[np.ndarray], site: Site
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the bias and the concatenated outgoing rows of all layers that read the units."""
    rows = [weights[entry] for entry in site.outgoing]
    return (
        None if site.bias is None else weights[site.bias],
        rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1),
    )
