"""Masks of the smallest scores over several arrays, by one concatenation and one partition."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np


def share_count(ratio: float, total: int) -> int:
    """Return floor(ratio * total), robust to rounding errors such as in 0.29 * 100."""
    return int(np.floor(np.round(ratio * total, 6)))


def least(
    scores: list[np.ndarray], ratio: float, groups: Sequence[Sequence[int]], *, last_too: bool
) -> tuple[list[np.ndarray], float | None]:
    """Return masks of the smallest scores of each group, and the largest selected score.

    Args:
        scores: one array of scores for each array of weights.
        ratio: selected share of each group, 0 to 1.
        groups: indices of the arrays that are ranked together.
        last_too: whether entries with an infinite score may be selected, after all others.

    Returns:
        A bool mask for each array, and the largest selected score over all groups, None if nothing
        is selected.
    """
    masks: list[Any] = [None] * len(scores)
    thresholds = []
    for group in groups:
        part = [scores[n] for n in group]
        count = share_count(ratio, sum(score.size for score in part))
        flat = np.concatenate([score.reshape(-1) for score in part])
        if not last_too:  # entries with an infinite score are never selected
            able = int(np.isfinite(flat).sum())
            if count > able:
                warnings.warn(
                    f"{able:,} weights can be chosen, fewer than the ratio asks for "
                    f"({count:,}); all of these are",
                    stacklevel=3,
                )
            count = min(count, able)
        found, threshold = _smallest(part, flat, count)
        for n, mask in zip(group, found):
            masks[n] = mask
        thresholds += [threshold] if count else []
    return masks, max(thresholds, default=None)


def _smallest(
    scores: list[np.ndarray], flat: np.ndarray, count: int
) -> tuple[list[np.ndarray], float]:
    """Return masks of the `count` smallest scores, ties broken by position; modifies `flat`."""
    if count == 0:
        return [np.zeros(score.shape, bool) for score in scores], -np.inf
    flat.partition(count - 1)
    threshold = flat[count - 1]
    masks = [np.array(score < threshold, order="C") for score in scores]
    missing = count - sum(int(np.count_nonzero(mask)) for mask in masks)
    for score, mask in zip(scores, masks):
        if not missing:
            break
        tied = np.flatnonzero(score.reshape(-1) == threshold)[:missing]
        mask.reshape(-1)[tied] = True
        missing -= len(tied)
    return masks, float(threshold)


def least_channels(scores: list[np.ndarray], ratio: float) -> tuple[list[np.ndarray], float | None]:
    """Return masks of the floor(ratio * channels) channels of smallest score of each kernel, and
    the largest selected score, None if nothing is selected."""
    masks, thresholds = [], []
    for score in scores:
        mask = np.zeros(score.shape, bool)
        if score.ndim >= 2:
            channel = score.reshape(-1, score.shape[-1])[0]
            count = share_count(ratio, len(channel))
            chosen = np.argsort(channel, kind="stable")[:count]
            mask[..., chosen] = True
            thresholds += [float(channel[chosen[-1]])] if count else []
        masks.append(mask)
    return masks, max(thresholds, default=None)
