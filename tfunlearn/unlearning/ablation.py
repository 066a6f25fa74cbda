"""Batched channel ablation: each copy of a batch runs with one channel ablated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.features import unpack
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import class_scores, gives_probabilities
from tfunlearn.pruning.channels import ChannelLayer, norms_of, without_channels
from tfunlearn.pruning.execution import (
    Tail,
    behind,
    call,
    execute,
    execute_all,
    trace_batches,
    without_activation,
)
from tfunlearn.pruning.graph import Graph, Node, arguments_of
from tfunlearn.pruning.norms import channel_axis

LIVE = 4  # tensors of the largest size held in memory at once while a model runs


@dataclass(frozen=True)
class Ablation:
    """Plan for ablating the channels of one layer.

    A waist is a position at which the graph is one tensor wide.

    Attributes:
        layer: the layer.
        node: the layer's only call; None if the weights must be zeroed, one channel at a time.
        behind: the calls downstream of it.
        norms: the calls of `behind` in whose output the channel is zeroed too.
        waist: index of the first waist downstream of `node` and `norms`.
        until: number of calls of `behind` up to that waist.
        reads: tensors required as inputs: the layer's inputs, and tensors that bypass the layer
            and are read before the waist.
    """

    layer: ChannelLayer
    node: Node | None
    behind: tuple[Node, ...] = ()
    norms: tuple[Node, ...] = ()
    waist: int = 0
    until: int = 0
    reads: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, graph: Graph, layer: ChannelLayer, parts: str, waists: Sequence[tuple[int, int]]
    ) -> Ablation:
        """Return the plan for a layer whose channels consist of `parts`."""
        keras_layer = graph.layers[layer.layer]
        calls = graph.calls(keras_layer)
        node, later = calls[0], behind(graph, calls[0])
        if (
            len(calls) > 1
            or _has_masks(graph)
            or not all(each.kind and _is_by_example(each) for each in (node, *later))
        ):
            return cls(layer, None)
        norms = norms_of(graph, keras_layer) if parts == "filter+bn" else []
        places = {id(each): place for place, each in enumerate(graph.nodes)}
        furthest = max(places[id(each)] for each in (node, *norms))
        waist = next(n for n, (place, _) in enumerate(waists) if place >= furthest)
        own = [each for each in later if places[id(each)] <= waists[waist][0]]
        given = {tensor for each in (node, *own) for tensor in each.outputs}
        read = [*node.inputs, *(tensor for each in own for tensor in each.inputs)]
        return cls(
            layer,
            node,
            tuple(later),
            tuple(norms),
            waist,
            len(own),
            tuple(dict.fromkeys(tensor for tensor in read if tensor not in given)),
        )


def _is_by_example(node: Node) -> bool:
    """Return whether all inputs and outputs of a node have a batch axis."""
    tensors = tf.nest.flatten([arguments_of(node), node.call.outputs])
    return all(
        len(tensor.shape) > 0 and tensor.shape[0] is None
        for tensor in tensors
        if hasattr(tensor, "_keras_history")
    )


def _has_masks(graph: Graph) -> bool:
    """Return whether any tensor carries a Keras mask, which a partial run would lose."""
    tensors = [tensor for node in graph.nodes for tensor in tf.nest.flatten(node.call.outputs)]
    return any(getattr(tensor, "_keras_mask", None) is not None for tensor in tensors)


class Steps:
    """Steps of an ablation, each for one part of the probe, one layer and a block of its channels.

    Args:
        graph: the model's graph.
        layers: the layers to ablate.
        parts: what a channel consists of, `"filter"` or `"filter+bn"`.
        features: the probe, `(n, ...)`.
        labels: int32 `(n,)`.
        memory: approximate memory limit in bytes.

    Attributes:
        plan: arguments of `run`, in the order in which it must be called.
        correct, loss: number of correct predictions and summed loss of the whole model, over the
            parts of the probe run so far.
    """

    def __init__(
        self,
        graph: Graph,
        layers: Sequence[ChannelLayer],
        parts: str,
        features: np.ndarray,
        labels: np.ndarray,
        memory: int,
    ):
        self._graph, self._features, self._labels = graph, features, labels
        self._tail = Tail(graph)
        ablations = [Ablation.of(graph, layer, parts, self._tail.waists) for layer in layers]
        self._ablations = {ablation.layer.layer: ablation for ablation in ablations}
        self._from_logits = not gives_probabilities(graph.model)
        self._reads = tuple(dict.fromkeys(t for a in ablations for t in a.reads))
        self._forward = trace_batches(self._values_of, [unpack(features[:1])])
        self._beginnings, self._rows, self._values = {}, None, ()
        sizes = self._sizes()
        cached = max(1, sum(sizes[tensor] for tensor in self._reads))
        part = max(1, min(len(labels), memory // cached))
        self.plan = [
            (slice(first, min(first + part, len(labels))), ablation.layer.layer, channels)
            for first in range(0, len(labels), part)
            for ablation in ablations
            for channels in _blocks(ablation, min(part, len(labels)), sizes, memory)
        ]
        self.correct, self.loss = 0, 0.0

    def run(self, rows: slice, layer: str, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return correct predictions and summed losses with each of the channels ablated."""
        labels = tf.constant(self._labels[rows])
        if rows != self._rows:
            self._rows = rows
            *self._values, outputs = self._forward(
                tf.nest.map_structure(tf.constant, unpack(self._features[rows]))
            )
            right, loss = self._score(outputs, labels, 1)
            self.correct += int(right[0])
            self.loss += float(loss[0])
        ablation = self._ablations[layer]
        if ablation.node is None:
            return self._zeroing(ablation, rows, channels)
        known = dict(zip(self._reads, self._values))
        tensors = [tf.constant(channels, tf.int32), *(known[tensor] for tensor in ablation.reads)]
        if layer not in self._beginnings:
            self._beginnings[layer] = trace_batches(
                lambda channels, *values: self._without(
                    ablation, channels, dict(zip(ablation.reads, values))
                ),
                tensors,
            )
        outputs = self._tail(ablation.waist, self._beginnings[layer](*tensors))
        right, loss = self._score(outputs, labels, len(channels))
        return right.numpy(), loss.numpy()

    def _values_of(self, features) -> tuple:
        """Return the tensors that the ablations read, and the outputs."""
        values = execute_all(self._graph, features)
        return (*(values[tensor] for tensor in self._reads), values[self._graph.outputs[0]])

    def _score(self, outputs, labels, copies):
        """Return correct predictions and summed losses of each copy of the examples."""
        labels = tf.tile(labels, [copies])
        outputs = class_scores(outputs, not self._from_logits)
        right = tf.equal(tf.argmax(outputs, axis=1, output_type=tf.int32), labels)
        if self._from_logits:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        else:  # the Keras loss recovers the logits in some cases and clips in others
            own = tf.gather(outputs, labels, batch_dims=1)
            losses = -tf.math.log(tf.maximum(own, np.finfo(np.float32).tiny))
        return (
            tf.reduce_sum(tf.reshape(tf.cast(right, tf.int64), [copies, -1]), axis=1),
            tf.reduce_sum(tf.reshape(tf.cast(losses, tf.float64), [copies, -1]), axis=1),
        )

    def _without(self, ablation: Ablation, channels, values: dict):
        """Run the model to the next waist, with one channel ablated in each copy of the
        examples."""
        node, copies = ablation.node, tf.shape(channels)[0]
        assert node is not None  # else the weights are zeroed
        with without_activation(node.layer):
            given = call(node, values)
        silent = _channels_of_copies(
            channels,
            ablation.layer.channels,
            tf.shape(given)[0],
            given.shape.rank,
            channel_axis(node.layer, node),
        )
        values = {tensor: _tile(value, copies) for tensor, value in values.items()}
        given = tf.where(silent, tf.zeros([], given.dtype), _tile(given, copies))
        activation = node.layer.activation
        values[node.outputs[0]] = given if activation is None else activation(given)
        for later in ablation.behind[: ablation.until]:
            execute([later], values)
            if later in ablation.norms:
                value = values[later.outputs[0]]
                values[later.outputs[0]] = tf.where(silent, tf.zeros([], value.dtype), value)
        return values[self._tail.waists[ablation.waist][1]]

    def _zeroing(self, ablation: Ablation, rows: slice, channels: np.ndarray):
        """Run the whole model with the weights of each channel zeroed in turn."""
        before, scores = self._graph.read(), []
        features = tf.nest.map_structure(tf.constant, unpack(self._features[rows]))
        labels = tf.constant(self._labels[rows])
        for channel in channels:
            after = without_channels(before, [ablation.layer], {ablation.layer.layer: [channel]})
            try:
                self._graph.write(before, after)
                scores.append(self._score(self._forward(features)[-1], labels, 1))
            finally:
                self._graph.write(after, before)
        return (
            np.array([int(right[0]) for right, _ in scores]),
            np.array([float(loss[0]) for _, loss in scores]),
        )

    def _sizes(self) -> dict[int, int]:
        """Return the size in bytes of every tensor of the graph for one example."""
        values = execute_all(
            self._graph, tf.nest.map_structure(tf.constant, unpack(self._features[:1]))
        )
        return {tensor: int(tf.size(value)) * value.dtype.size for tensor, value in values.items()}


def _blocks(
    ablation: Ablation, examples: int, sizes: dict[int, int], memory: int
) -> list[np.ndarray]:
    """Return the channels of a layer in blocks that fit into memory."""
    if ablation.node is None:
        return [np.array([channel]) for channel in range(ablation.layer.channels)]
    widest = max(
        sizes[tensor]
        for node in (ablation.node, *ablation.behind)
        for tensor in (*node.inputs, *node.outputs)
    )
    block = max(1, memory // (LIVE * examples * widest))
    return [
        np.arange(first, min(first + block, ablation.layer.channels))
        for first in range(0, ablation.layer.channels, block)
    ]


def _tile(value, copies):
    """Return the examples of a tensor repeated `copies` times, one copy after the other."""
    return tf.tile(value, tf.concat([[copies], tf.ones([tf.rank(value) - 1], tf.int32)], axis=0))


def _channels_of_copies(channels, count: int, examples, rank: int, axis: int):
    """Return a bool mask of the ablated channel, broadcastable to a tensor of all copies."""
    silent = tf.repeat(tf.one_hot(channels, count, True, False, dtype=tf.bool), examples, axis=0)
    return tf.reshape(silent, [-1, *(count if n == axis else 1 for n in range(1, rank))])
