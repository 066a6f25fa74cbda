"""Orders of the weights of a model: as the model lists them, and trainable ones first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfunlearn.core.vectors import sizes_of


class SplitWeights(NamedTuple):
    """Weights of a model in two lists, as the engines take them.

    Attributes:
        trainable: in the order of `model.trainable_weights`.
        non_trainable: moving statistics, in the order of `model.non_trainable_weights`.
    """

    trainable: list
    non_trainable: list


class WeightOrder:
    """Conversion between the weight order of `get_weights()` and that of `SplitWeights`."""

    def __init__(self, model: Any):
        places = {id(weight): n for n, weight in enumerate(model.weights)}
        self._trainable = [places[id(weight)] for weight in model.trainable_weights]
        self._non_trainable = [places[id(weight)] for weight in model.non_trainable_weights]
        ends = np.cumsum([0, *sizes_of([tuple(weight.shape) for weight in model.weights])])
        self._slices = [slice(first, last) for first, last in zip(ends[:-1], ends[1:])]

    def trainable_columns(self) -> np.ndarray:
        """Return the mask of the vector entries that belong to trainable weights, bool `(d,)`."""
        columns = np.zeros(self._slices[-1].stop, bool)
        for place in self._trainable:
            columns[self._slices[place]] = True
        return columns

    def flatten(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector `(d,)` reordered from model order to trainable weights first."""
        return np.concatenate(
            [vector[self._slices[place]] for place in [*self._trainable, *self._non_trainable]]
        )

    def unflatten(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector `(d,)` reordered to model order; undoes `flatten`."""
        order = self.flatten(np.arange(len(vector)))
        result = np.empty_like(vector)
        result[order] = vector
        return result

    def split(self, weights: list) -> SplitWeights:
        """Return a list in model order as two lists."""
        return SplitWeights(
            [weights[n] for n in self._trainable], [weights[n] for n in self._non_trainable]
        )

    def to_list(self, model_weights: Any) -> list:
        """Return `SplitWeights`, or TFF's `ModelWeights`, as one list in model order."""
        pairs = [
            *zip(self._trainable, model_weights.trainable),
            *zip(self._non_trainable, model_weights.non_trainable),
        ]
        return [weight for _, weight in sorted(pairs, key=lambda pair: pair[0])]

    def write(self, row: np.ndarray, trainable: np.ndarray, non_trainable: np.ndarray) -> None:
        """Write the vectors of trainable and other weights into `row` `(d,)`, in model order."""
        for places, vector in ((self._trainable, trainable), (self._non_trainable, non_trainable)):
            first = 0
            for place in places:
                target = row[self._slices[place]]
                target[:] = vector[first : first + len(target)]
                first += len(target)
