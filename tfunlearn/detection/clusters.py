"""Clusters of one score per client: exact k-means, and the gap statistic that says how many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.seeds import generator

MOST, DRAWS = 7, 10  # clusters that are tried, and reference draws
EQUAL = 1e-9  # relative range below which scores are equal


@dataclass(frozen=True)
class Gap:
    """The gap statistic of scores.

    Attributes:
        clusters: the number of clusters, khat; 1 means no attack.
        gaps: Gap(k) for k = 1, 2, ...
        spreads: s_k for the same k.
    """

    clusters: int
    gaps: tuple[float, ...]
    spreads: tuple[float, ...]


def gap_statistic(scores: np.ndarray, resolution: float = 0.0) -> Gap:
    """Return how many clusters scores form.

    Scores are scaled to [0, 1] by their smallest and largest. With W(k) the sum of squared
    distances to the means of the best k clusters, and W_ref(k) that of 10 draws of as many uniform
    numbers (always the same ones),

        Gap(k) = log mean W_ref(k) - log W(k),   s_k = sqrt(1 + 1/10) std(log W_ref(k))

    and khat is the smallest k with Gap(k) >= Gap(k + 1) - s_{k+1}; the largest k that was tried if
    none is. k ends at 7, at n - 1, and below the number of different scores.

    Args:
        scores: `(n,)`, finite.
        resolution: step of scores that are counts, such as 1 / rounds for shares of rounds; each
            then adds the variance of rounding, resolution^2 / 12, to W(k). Default 0.

    Reference:
        Tibshirani et al., JRSS-B 2001, as used by FLDetector (Zhang et al., KDD 2022, arXiv
        2207.09209).

    Deviation: equal scores are one cluster (0 / 0 in the definition); where no k fulfills the
    condition, the authors' code fails. Without a resolution, shares of 0 and 1 have W(2) = 0, and
    shares of 0 and 1 / rounds too: one is a perfect separation, the other chance.
    """
    scores = np.asarray(scores, np.float64)
    low, width = scores.min(), np.ptp(scores)
    if len(scores) < 3 or width <= EQUAL * max(np.abs(scores).max(), 1e-300):
        return Gap(1, (), ())
    scaled = (scores - low) / width
    different = len(np.unique(np.round(scaled / EQUAL)))
    most = min(MOST, len(scores) - 1, *([] if resolution else [different - 1]))
    rng = generator(0, "reference draws of the gap statistic", len(scores))
    drawn = np.array([costs_of_clusters(rng.random(len(scores)), most) for _ in range(DRAWS)])
    own = costs_of_clusters(scaled, most) + len(scores) * (resolution / width) ** 2 / 12
    gaps = np.log(drawn.mean(axis=0)) - np.log(own)
    spreads = np.sqrt(1 + 1 / DRAWS) * np.log(drawn).std(axis=0)
    holds = gaps[:-1] >= gaps[1:] - spreads[1:]
    clusters = int(np.argmax(holds)) + 1 if holds.any() else most
    return Gap(clusters, tuple(gaps.tolist()), tuple(spreads.tolist()))


def costs_of_clusters(values: np.ndarray, most: int) -> np.ndarray:
    """Return W(1) to W(most): squared distances to the means of the best clusters.

    Dynamic programming over the sorted values gives the optimum, without starting points.
    """
    costs, best = _interval_costs(np.sort(values)), None
    found = []
    for _ in range(most):
        if best is None:
            best = costs[0]
        else:  # the last cluster begins at i: the best of those before it, plus its cost
            before = np.concatenate([[np.inf], best[:-1]])
            best = (before[:, None] + costs).min(axis=0)
        found.append(best[-1])
    return np.array(found)


def upper_cluster(values: np.ndarray) -> np.ndarray:
    """Return the mask of the upper one of the best two clusters, bool `(n,)`."""
    values = np.asarray(values, np.float64)
    ordered = np.sort(values)
    costs = _interval_costs(ordered)
    splits = [
        costs[0, first - 1] + costs[first, -1] if ordered[first - 1] < ordered[first] else np.inf
        for first in range(1, len(values))
    ]
    return values >= ordered[int(np.argmin(splits)) + 1]


def _interval_costs(ordered: np.ndarray) -> np.ndarray:
    """Return the squared distances of `ordered[i : j + 1]` to their mean; inf for j < i."""
    n = len(ordered)
    costs = np.full((n, n), np.inf)
    for first in range(n):
        offsets = ordered[first:] - ordered[first]
        counts = np.arange(1, n - first + 1)
        squares = np.cumsum(offsets**2) - np.cumsum(offsets) ** 2 / counts
        costs[first, first:] = np.maximum(squares, 0)
    return costs
