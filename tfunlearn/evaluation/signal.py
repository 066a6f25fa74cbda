"""Detection of layers without signal, whose outputs do not depend on the input."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.features import unpack
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.execution import execute_all
from tfunlearn.pruning.graph import Graph

NOISE = 1e-6  # relative to the largest output; smaller differences count as equal


class SignalProbe:
    """Find the layers of a Keras model whose outputs do not depend on the input.

    A layer is checked if it has a trainable weight with two or more axes (a kernel) and is called
    exactly once; layers of nested models are called by their full name.

    Args:
        model: a built Sequential or functional model; each call uses its current weights.
        features: the probe, `(m, ...)`, m >= 2.
    """

    def __init__(self, model: tf.keras.Model, features: np.ndarray):
        self._features = features
        graph = Graph.of(model)
        nodes = {
            name: calls[0]
            for name, layer in graph.layers.items()
            if any(len(weight.shape) > 1 for weight in layer.trainable_weights)
            and len(calls := graph.calls(layer)) == 1
        }
        self._names = list(nodes)

        def outputs_of(given) -> list:
            values = execute_all(graph, given)
            return [values[node.outputs[0]] for node in nodes.values()]

        self._forward = tf.function(outputs_of, autograph=False)

    def __call__(self) -> list[str]:
        """Return the names of the layers without signal, in the order of the model."""
        outputs = self._forward(unpack(self._features))
        return [
            name for name, values in zip(self._names, outputs) if is_constant_output(values.numpy())
        ]


def is_constant_output(values: np.ndarray) -> bool:
    """Return whether outputs `(m, ...)` are equal for all m inputs, or not finite."""
    if not np.isfinite(values).all():
        return True
    return bool(np.ptp(values, axis=0).max(initial=0) <= NOISE * np.abs(values).max(initial=0))


def chance_level(labels: np.ndarray) -> float:
    """Return the accuracy of always predicting the most frequent of `labels` `(m,)`."""
    labels = require_labels(labels)
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
