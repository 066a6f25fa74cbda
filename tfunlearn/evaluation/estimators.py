"""Cheaper estimates of memorisation scores, and how well they rank."""

from __future__ import annotations

import math

import numpy as np

from tfunlearn.core.errors import require


def subset_scores(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Returns memorisation scores from a pool of models, each trained on a subset of the clients.

        mean of value | example held - mean of value | example left out

    One pool scores the examples of all clients. It is biased slightly up, since others are missing
    too wherever an example is.

    Args:
        values: hits or probabilities of the true label under each model, `(T, n)`.
        held: whether each model's training held each example, bool `(T, n)`.

    Raises:
        UserError: shapes that do not fit, or an example that all or none of the models held.

    Reference:
        Feldman & Zhang, "What Neural Networks Memorize and Why" (NeurIPS 2020, arXiv 2008.03703),
        over clients in the place of examples.
    """
    values, held = np.asarray(values, np.float64), np.asarray(held, bool)
    require("held", held.shape, held.ndim == 2 and held.shape == values.shape, values.shape)
    inside, outside = held.sum(axis=0), (~held).sum(axis=0)
    both = (inside > 0) & (outside > 0)
    require("held", f"{int((~both).sum())} examples that all or none of the models held",
            bool(both.all()), "models with and without each example")
    return (values * held).sum(axis=0) / inside - (values * ~held).sum(axis=0) / outside


def subset_error(models: int, share: float) -> float:
    """Returns about the standard error of a subset score from hits.

        1/2 sqrt(1 / (T (1 - s)) + 1 / (T s))

    Args:
        models: T.
        share: of the models that leave an example out, s, between 0 and 1.
    """
    return math.sqrt(1 / (models * (1 - share)) + 1 / (models * share)) / 2


def checkpoint_scores(probabilities: np.ndarray) -> np.ndarray:
    """Returns a proxy of the scores from one training: 1 - mean over rounds of p(true label).

    What is learned late is likely to be memorized. A measure of hardness, not of
    memorisation itself: no model without the examples is looked at.

    Args:
        probabilities: of the true label under the models of several rounds, `(R, n)`, R >= 2.

    Raises:
        UserError: fewer than 2 rounds.

    Reference:
        Jiang et al., "Characterizing Structural Regularities of Labeled Data in Overparameterized
        Models" (ICML 2021, arXiv 2002.03206), cumulative probability of the label.
    """
    probabilities = np.asarray(probabilities, np.float64)
    require("probabilities", probabilities.shape,
            probabilities.ndim == 2 and len(probabilities) >= 2, "(R, n) with R >= 2 rounds")
    return 1 - probabilities.mean(axis=0)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Returns Spearman's rank correlation of two scores `(n,)`; NaN if one is constant."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(spearmanr(one, other)[0])
