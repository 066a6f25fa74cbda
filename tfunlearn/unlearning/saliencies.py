"""How much weights matter for a reset: the least salient ones are drawn anew.

A saliency takes the eligible weights and changes, lists of arrays in the order of
`model.get_weights()`, and gives scores of the same shapes; a score of infinity is never chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Arrays = Sequence[np.ndarray]
STRONGEST = 5  # entries of a channel that its score is the mean of


def abs_mean(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """FedMemPrune's: the absolute value of the mean change."""
    return [np.asarray(np.abs(change)) for change in changes]


def random(weights: Arrays, changes: Arrays, rng: np.random.Generator) -> list[np.ndarray]:
    """Random scores: a control."""
    return [np.asarray(rng.random(np.shape(change), np.float32)) for change in changes]


def salun(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """SalUn: what the forgotten data move most is the least salient."""
    return [np.asarray(-np.abs(change)) for change in changes]


def deep(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """SalUn in the second half of the arrays."""
    return _only(salun(weights, changes), range(len(changes) // 2, len(changes)))


def shallow(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """SalUn in the first half of the arrays."""
    return _only(salun(weights, changes), range(len(changes) // 2))


def localized(weights: Arrays, changes: Arrays, rng=None) -> list[np.ndarray]:
    """Whole output channels (last axis) of kernels: minus the mean of a channel's five largest
    |weight * change|; vectors are never chosen."""
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
    return [score if place in places else np.full(np.shape(score), np.inf, np.float32)
            for place, score in enumerate(scores)]


@dataclass(frozen=True)
class Saliency:
    """A way to score weights.

    Attributes:
        scores: `(weights, changes, rng) -> scores`.
        of: whose change it looks at: `"remaining"` or `"forgotten"`, or `"gradient"` for the mean
            gradient on what remains, or `"nothing"`.
        channels: whether whole output channels of each kernel go, not single weights.
    """

    scores: Callable
    of: str
    channels: bool = False


SALIENCIES = {
    "abs_mean_delta": Saliency(abs_mean, "remaining"),
    "abs_mean_grad": Saliency(abs_mean, "gradient"),
    "random": Saliency(random, "nothing"),
    "salun": Saliency(salun, "forgotten"),
    "localized": Saliency(localized, "forgotten", channels=True),
    "deep": Saliency(deep, "forgotten"),
    "shallow": Saliency(shallow, "forgotten"),
}
