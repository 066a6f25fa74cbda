"""Saliency scores of weights; the least salient weights are re-initialized.

A saliency function takes the eligible weights and changes, lists of arrays in the order of
`model.get_weights()`, and returns scores of the same shapes; a weight with an infinite score is
never selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Arrays = Sequence[np.ndarray]
STRONGEST = 5  # number of entries averaged into a channel's score


def abs_mean(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Return FedMemPrune's scores: the absolute value of the mean change."""
    return [np.asarray(np.abs(change)) for change in changes]


def random(weights: Arrays, changes: Arrays, rng: np.random.Generator) -> list[np.ndarray]:
    """Return random scores: a control."""
    return [np.asarray(rng.random(np.shape(change), np.float32)) for change in changes]


def salun(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Return SalUn scores: the weights that the forget set changes most are the least salient."""
    return [np.asarray(-np.abs(change)) for change in changes]


def deep(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Return SalUn scores for the second half of the arrays, infinity for the others."""
    return _only(salun(weights, changes), range(len(changes) // 2, len(changes)))


def shallow(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Return SalUn scores for the first half of the arrays, infinity for the others."""
    return _only(salun(weights, changes), range(len(changes) // 2))


def localize(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Return scores of whole output channels (last axis) of kernels: minus the mean of a channel's
    five largest |weight * change|; vectors are never selected."""
    scores = []
    for weight, change in zip(weights, changes):
        if np.ndim(change) < 2:
            scores.append(np.full(np.shape(change), np.inf, np.float32))
            continue
        products = np.abs(weight * change).reshape(-1, np.shape(change)[-1])
        most = min(STRONGEST, len(products))
        strongest = np.partition(products, len(products) - most, axis=0)[-most:]
        channel = -strongest.mean(axis=0, dtype=np.float64)
        scores.append(np.broadcast_to(channel, np.shape(change)))
    return scores


def _only(scores: list[np.ndarray], places: Sequence[int]) -> list[np.ndarray]:
    return [
        score if place in places else np.full(np.shape(score), np.inf, np.float32)
        for place, score in enumerate(scores)
    ]


@dataclass(frozen=True)
class Saliency:
    """Saliency function and the input it requires.

    Attributes:
        scores: function `(weights, changes, rng) -> scores`.
        of: the required changes: of the `"remaining"` or the `"forgotten"` clients, the mean
            `"gradient"` on the retain set, or `"nothing"`.
        channels: whether whole output channels of each kernel are reset, not single weights;
            default False.
    """

    scores: Callable
    of: str
    channels: bool = False


SALIENCIES = {
    "abs_mean_delta": Saliency(abs_mean, "remaining"),
    "abs_mean_grad": Saliency(abs_mean, "gradient"),
    "random": Saliency(random, "nothing"),
    "salun": Saliency(salun, "forgotten"),
    "localized": Saliency(localize, "forgotten", channels=True),
    "deep": Saliency(deep, "forgotten"),
    "shallow": Saliency(shallow, "forgotten"),
}
