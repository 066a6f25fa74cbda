"""FedRecovery: removal of a client's weighted residuals from the final model, without training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from tfunlearn.core.errors import require, require_real
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.vectors import from_vector, to_vector


def fedrecovery(
    weights: Sequence[np.ndarray],
    history: Iterable[HistoryRound],
    *,
    forgotten: Sequence[int] | np.ndarray,
    average: str = "samples",
    noise: float = 0.0,
    noisy: Sequence[int] | None = None,
    rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """Return the final model corrected by the forgotten clients' residuals.

    Per round i, with A_i the mean of all updates and B_i that of the remaining clients' updates:

        w + sum_i p_i (B_i - A_i),    p_i = |A_i|^2 / sum_j |A_j|^2

    plus Gaussian noise. With equal weights and one forgotten client u, B_i - A_i is
    (B_i - update of u) / n, the paper's residual. A round with forgotten clients only counts in
    the denominator of the p_i alone; a round without updates is ignored.

    Args:
        weights: the final model, as returned by `model.get_weights()`.
        history: every round of the training.
        forgotten: ids of the forgotten clients.
        average: weights of the means, `"samples"` (default, number of examples as in federated
            averaging) or `"uniform"` (as in the paper).
        noise: standard deviation of the noise; default 0. See `noise_deviation`.
        noisy: indices of the arrays that noise is added to; default all. Moving variances must be
            excluded.
        rng: generator of the noise, required if `noise` > 0.

    Raises:
        UserError: a setting out of range, or a history without rounds.

    Reference:
        Zhang et al., "FedRecovery: Differentially Private Machine Unlearning for Federated
        Learning Frameworks" (IEEE TIFS 18, 2023, pages 4732-4746). Deviation: updates
        replace gradients times -lr, a factor that cancels in p; no noise by default, since the
        bound that the paper derives it from is not known for a neural network.
    """
    require("average", average, average in ("samples", "uniform"), "samples or uniform")
    require_real("noise", noise, lambda value: value >= 0, "a number >= 0")
    require("rng", rng, noise == 0 or rng is not None, "a generator, with noise")
    total, norms, rounds = 0.0, 0.0, 0
    for kept in history:
        rounds += 1
        if not len(kept.ids):
            continue
        shares = np.asarray(
            kept.examples if average == "samples" else np.ones(len(kept.ids)), np.float64
        )
        remaining = ~np.isin(kept.ids, forgotten)
        whole = _mean(kept.updates, shares)
        squared = float(whole @ whole)
        norms += squared
        if remaining.any() and not remaining.all():
            total = total + squared * (_mean(kept.updates, np.where(remaining, shares, 0)) - whole)
    require("history", "no round", rounds > 0, "every round of the training")
    vector = to_vector(weights).astype(np.float64) + (total / norms if norms else 0.0)
    result = from_vector(vector.astype(np.float32), [weight.shape for weight in weights])
    if noise:
        assert rng is not None  # checked above
        for place in range(len(result)) if noisy is None else noisy:
            drawn = rng.normal(0.0, noise, result[place].shape)
            result[place] = (result[place] + drawn).astype(np.float32)
    return result


def noise_deviation(distance: float, epsilon: float, beta: float) -> float:
    """Return the standard deviation of noise that makes two models (epsilon, beta)-close.

        (distance / sqrt 2) / (sqrt(ln(1 / beta) + epsilon) - sqrt(ln(1 / beta)))

    Args:
        distance: bound on the l2 distance between the recovered and the retrained model, > 0.
        epsilon: indistinguishability parameter, > 0.
        beta: indistinguishability parameter, 0 < beta < 1.
    """
    for name, value, holds in (
        ("distance", distance, distance > 0),
        ("epsilon", epsilon, epsilon > 0),
        ("beta", beta, 0 < beta < 1),
    ):
        require(name, value, holds, "a number > 0" if name != "beta" else "a number > 0 and < 1")
    root = math.sqrt(math.log(1 / beta))
    return distance / math.sqrt(2) / (math.sqrt(math.log(1 / beta) + epsilon) - root)


def _mean(updates: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the weighted mean of rows in float64, accumulated row by row."""
    total = np.zeros(updates.shape[1])
    for row, share in zip(updates, shares):
        if share:
            total += np.multiply(row, share, dtype=np.float64)
    return total / shares.sum()
