"""Class-discriminative pruning (CDP): TF-IDF over the channels of convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.core.features import unpack
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.channels import channel_layers
from tfunlearn.pruning.counting import count_of
from tfunlearn.pruning.execution import execute_all
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.layer_types import is_conv
from tfunlearn.pruning.norms import channel_axis

SCOPES = {
    "layer": "the share is of each layer's channels",
    "model": "the share is of all channels of all convolutions",
}


class ClassActivations:
    """Compute mean activations of convolutions for each class on a client's data.

        A[l] = mean over space of relu(output of convolution l), `(examples, channels)`

    Args:
        model: a built Sequential or functional Keras model with a convolution.
        batch_size: examples per batch; default 200.

    Raises:
        UserError: a model without a convolution, or without a plain layer graph.
    """

    def __init__(self, model: tf.keras.Model, *, batch_size: int = 200):
        self._graph, self._batch = Graph.of(model), batch_size
        self._layers = [
            layer
            for layer in channel_layers(self._graph)
            if is_conv(self._graph.layers[layer.layer])
        ]
        require("model", model.name, bool(self._layers), "a model with a convolution, for cdp")
        self._forward = tf.function(self._pool, autograph=False, reduce_retracing=True)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, classes: int
    ) -> dict[str, np.ndarray]:
        """Return layer name to means `(classes, channels)` float64, NaN for a class without
        examples."""
        labels = require_labels(labels, classes=classes, count=len(features))
        sums = {layer.layer: np.zeros((classes, layer.channels)) for layer in self._layers}
        for first in range(0, len(labels), self._batch):
            part = slice(first, first + self._batch)
            for name, values in zip(sums, self._forward(unpack(features[part]))):
                np.add.at(sums[name], labels[part], values.numpy().astype(np.float64))
        counts = np.bincount(labels, minlength=classes)[:, None]
        with np.errstate(invalid="ignore"):
            return {
                name: np.where(counts > 0, total / counts, np.nan) for name, total in sums.items()
            }

    def _pool(self, features) -> list:
        values = execute_all(self._graph, features)
        return [self._pool_layer(self._graph.layers[layer.layer], values) for layer in self._layers]

    def _pool_layer(self, layer, values: dict):
        """Return the mean of relu(output) of a layer over space and over the layer's calls."""
        means = []
        for node in self._graph.calls(layer):
            axes = [
                axis for axis in range(1, len(node.shape) + 1) if axis != channel_axis(layer, node)
            ]
            means.append(tf.reduce_mean(tf.nn.relu(values[node.outputs[0]]), axis=axes))
        return tf.add_n(means) / len(means)


def mean_over_clients(uploads: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the unweighted mean of the clients' activations `(classes, channels)`.

    The mean of a class is over the clients that hold it; NaN if no client does.
    """
    means = {}
    for name in uploads[0]:
        stack = np.stack([upload[name] for upload in uploads])
        held = ~np.isnan(stack)
        count = held.sum(axis=0)
        with np.errstate(invalid="ignore"):
            means[name] = np.where(count > 0, np.where(held, stack, 0).sum(axis=0) / count, np.nan)
    return means


def tf_idf(activations: np.ndarray) -> np.ndarray:
    """Return TF-IDF scores, `(classes, channels)` float64: how well a channel identifies a class.

        TF[u, j]  = A[u, j] / sum_j A[u, j]
        IDF[j]    = log((1 + classes) / (1 + |{u: A[u, j] >= mean_j A[u, j]}|))
        score     = TF * IDF

    Args:
        activations: mean activations `(classes, channels)`, not negative; a class that no client
            holds is NaN, is not counted in `classes`, and gets NaN scores.

    Reference:
        Wang et al., "Federated Unlearning via Class-Discriminative Pruning" (WWW 2022,
        arXiv 2110.11794). Deviation: public forks compare with the channel's mean over the classes;
        this follows the paper's rule, the class's mean over the channels.
    """
    known = ~np.isnan(activations).any(axis=1)
    held, scores = activations[known], np.full(activations.shape, np.nan)
    total = held.sum(axis=1, keepdims=True)
    frequency = np.divide(held, total, out=np.zeros_like(held), where=total > 0)
    common = (held >= held.mean(axis=1, keepdims=True)).sum(axis=0)
    scores[known] = frequency * np.log((1 + len(held)) / (1 + common))
    return scores


def discriminative_channels(
    activations: Mapping[str, np.ndarray],
    forgotten: Sequence[int],
    *,
    share: float = 0.1,
    scope: str = "layer",
) -> dict[str, np.ndarray]:
    """Return the channels that CDP prunes: those of highest score for the forgotten classes.

    Args:
        activations: layer name to mean activations `(classes, channels)`.
        forgotten: forgotten classes; the union of the channels selected for each class is pruned.
        share: R, the pruned share of the channels, in (0, 1), default 0.1; at least one channel is
            selected for each class, and at least one channel of each layer is kept.
        scope: `"layer"` (default): a share of each layer's channels. `"model"`: a share of all
            channels of all layers, highest score first.

    Raises:
        UserError: a class that no client holds, or an invalid share or scope.

    Reference:
        See `tf_idf`. The paper's R, and whether it applies per layer, are not known; both scopes
        are available.
    """
    require_real("prune_share", share, lambda r: 0 < r < 1, "a share > 0 and < 1")
    choose("prune_scope", scope, SCOPES)
    scores = {name: tf_idf(means) for name, means in activations.items()}
    chosen = {name: set() for name in scores}
    for label in forgotten:
        if any(np.isnan(score[label]).any() for score in scores.values()):
            require("class", int(label), False, "a class that some client holds")
        picks = _by_layer if scope == "layer" else _over_all
        for name, channels in picks({n: score[label] for n, score in scores.items()}, share):
            chosen[name] |= channels
    kept = {}
    for name, channels in chosen.items():
        order = sorted(channels, key=lambda j: (-scores[name][list(forgotten), j].max(), j))
        kept[name] = np.array(order[: scores[name].shape[1] - 1], np.int64)
    return kept


def _by_layer(scores: Mapping[str, np.ndarray], share: float):
    for name, score in scores.items():
        order = np.argsort(-score, kind="stable")[: count_of(len(score), share)]
        yield name, set(map(int, order))


def _over_all(scores: Mapping[str, np.ndarray], share: float):
    pairs = [
        (-value, place, channel, name)
        for place, (name, score) in enumerate(scores.items())
        for channel, value in enumerate(score)
    ]
    for *_, channel, name in sorted(pairs)[: count_of(len(pairs), share)]:
        yield name, {channel}
