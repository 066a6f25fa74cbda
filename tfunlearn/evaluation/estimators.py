"""Inexpensive estimators of memorization scores, and their rank correlation."""

from __future__ import annotations

import math

import numpy as np

from tfunlearn.core.errors import require


def subset_scores(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return memorization scores from a pool of models, each trained on a subset of the clients.

        mean of value | example included - mean of value | example left out

    One pool scores the examples of all clients. The estimate is biased slightly upward, since a
    model without an example also lacks other examples.

    Args:
        values: hits or probabilities of the true label under each model, `(T, n)`.
        held: whether each model was trained on each example, bool `(T, n)`.

    Raises:
        UserError: shapes that do not match, or an example in the training of all or of no model.

    Reference:
        Feldman & Zhang, "What Neural Networks Memorize and Why" (NeurIPS 2020, arXiv 2008.03703),
        with clients instead of examples left out.
    """
    values, held = np.asarray(values, np.float64), np.asarray(held, bool)
    require(
        "held",
        held.shape,
        held.ndim == 2 and held.shape == values.shape,
        f"of shape {values.shape}",
    )
    inside, outside = held.sum(axis=0), (~held).sum(axis=0)
    both = (inside > 0) & (outside > 0)
    require(
        "held",
        f"{int((~both).sum())} examples that all or none of the models held",
        bool(both.all()),
        "models with and without each example",
    )
    return (values * held).sum(axis=0) / inside - (values * ~held).sum(axis=0) / outside


def subset_error(models: int, share: float) -> float:
    """Return the approximate standard error of a subset score computed from hits.

        1/2 sqrt(1 / (T (1 - s)) + 1 / (T s))

    Args:
        models: T, the number of models.
        share: s, share of the models that leave an example out, between 0 and 1.
    """
    return math.sqrt(1 / (models * (1 - share)) + 1 / (models * share)) / 2


def checkpoint_scores(probabilities: np.ndarray) -> np.ndarray:
    """Return a proxy score from one training run: 1 - mean over rounds of p(true label).

    Examples that are learned late are likely to be memorized. The score measures difficulty, not
    memorization itself, since no model without the examples is evaluated.

    Args:
        probabilities: probability of the true label under the models of several rounds, `(R, n)`,
            R >= 2.

    Raises:
        UserError: an array that is not of shape `(R, n)`, or fewer than 2 rounds.

    Reference:
        Jiang et al., "Characterizing Structural Regularities of Labeled Data in Overparameterized
        Models" (ICML 2021, arXiv 2002.03206), cumulative probability of the label.
    """
    probabilities = np.asarray(probabilities, np.float64)
    require(
        "probabilities",
        probabilities.shape,
        probabilities.ndim == 2 and len(probabilities) >= 2,
        "of shape (R, n), with R >= 2 rounds",
    )
    return 1 - probabilities.mean(axis=0)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two scores `(n,)`; NaN if either is constant."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(spearmanr(one, other)[0])
