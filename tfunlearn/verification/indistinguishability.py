"""The forgetting score of the NeurIPS 2023 machine unlearning challenge."""

from __future__ import annotations

import math

import numpy as np

from tfunlearn.core.errors import require

DELTA, CAP, BIN, NARROW = 1e-5, 50.0, 0.5, 0.01


def forgetting_epsilons(
    unlearned: np.ndarray, retrained: np.ndarray, *, delta: float = DELTA
) -> np.ndarray:
    """Return epsilon `(n,)`: how well each example distinguishes unlearned from retrained models.

    Epsilon is that of the strongest attack with one threshold, or with two thresholds between which
    a model is classified as positive. The positive kind of model is the one with the larger median:

        eps = max over thresholds of max(log(1 - delta - FPR) - log FNR,
                                         log(1 - delta - FNR) - log FPR)

    Thresholds at which exactly one of the rates is 0 are ignored. Epsilon is capped at 50, which is
    also its value where both rates are 0, or where the scores of one kind of model span less than
    1 % of the range of the other.

    Args:
        unlearned: score of `n` examples under `k` unlearned models, `(k, n)`, such as phi.
        retrained: the same score under retrained models, `(k', n)`.
        delta: probability with which the bound may fail; default 1e-5.

    Raises:
        UserError: fewer than 2 models of either kind, or scores that are not finite.

    Reference:
        Triantafillou et al., "Are we making progress in unlearning? Findings from the first NeurIPS
        unlearning competition" (2024, arXiv 2406.09073).
    """
    unlearned, retrained = (np.asarray(side, np.float64) for side in (unlearned, retrained))
    for name, side in (("unlearned", unlearned), ("retrained", retrained)):
        require(name, len(side), len(side) >= 2, "at least 2 models")
        require(name, "NaN or infinity", bool(np.isfinite(side).all()), "finite scores")
    return np.array(
        [_epsilon(unlearned[:, s], retrained[:, s], delta) for s in range(unlearned.shape[1])]
    )


def forgetting_quality(epsilons: np.ndarray, models: int) -> float:
    """Return F, the mean score of the examples: 1, halved for each 0.5 of epsilon.

    Args:
        epsilons: `(n,)`.
        models: N, the number of models of each kind. N models can show an epsilon of at most
            ceil(log(N - 1)); an example whose epsilon reaches it scores 0.
    """
    require("models", models, models >= 2, "at least 2")
    epsilons = np.asarray(epsilons, np.float64)
    limit = math.ceil(math.log(models - 1)) if models > 2 else 0
    points = np.where(epsilons < limit, 2.0 ** -np.floor(epsilons / BIN), 0.0)
    return float(points.mean())


def challenge_score(
    quality: float, *, remaining: tuple[float, float], test: tuple[float, float]
) -> float:
    """Return F times the retain-set and test-set accuracy relative to retraining.

    Args:
        quality: F.
        remaining: accuracy on the retain set, of the unlearned and of the retrained models.
        test: accuracy on the test set, of the unlearned and of the retrained models.

    Raises:
        UserError: a number that is negative or not finite, or retrained models of accuracy 0, for
            which the ratio is undefined.
    """
    for name, values in (("remaining", remaining), ("test", test), ("quality", (quality,))):
        require(
            name, values, all(math.isfinite(v) and v >= 0 for v in values), "finite numbers >= 0"
        )
    for name, (_, retrained) in (("remaining", remaining), ("test", test)):
        require(name, retrained, retrained > 0, "an accuracy of the retrained models > 0")
    return quality * remaining[0] / remaining[1] * test[0] / test[1]


def _epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float:
    positive, negative = unlearned, retrained
    if np.median(retrained) > np.median(unlearned):
        positive, negative = retrained, unlearned
    ranges = sorted((np.ptp(positive), np.ptp(negative)))
    if ranges[1] > 0 and ranges[0] / ranges[1] < NARROW:
        return CAP
    edges = np.unique(np.concatenate([positive, negative]))
    # number of scores below each threshold between neighboring values
    below = [
        np.append(np.searchsorted(np.sort(side), edges), len(side)) for side in (positive, negative)
    ]
    low, high = np.triu_indices(len(edges) + 1, 1)  # lower and upper threshold
    fnr = 1 - (below[0][high] - below[0][low]) / len(positive)
    fpr = (below[1][high] - below[1][low]) / len(negative)
    if np.any((fnr == 0) & (fpr == 0)):
        return CAP
    counted = (fnr > 0) & (fpr > 0)
    if not counted.any():
        return 0.0
    fnr, fpr = fnr[counted], fpr[counted]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.maximum(
            np.log(np.maximum(1 - delta - fpr, 0)) - np.log(fnr),
            np.log(np.maximum(1 - delta - fnr, 0)) - np.log(fpr),
        )
    return float(np.clip(found.max(), 0.0, CAP))
