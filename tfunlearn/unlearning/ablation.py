"""One silenced channel in each copy of a batch: the steps that channel effects are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.images import to_unit_range
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import ends_in_softmax
from tfunlearn.pruning.channels import ChannelLayer, norms_of, without_channels
from tfunlearn.pruning.execution import behind, call, execute, without_activation
from tfunlearn.pruning.graph import Graph, Node, arguments_of
from tfunlearn.pruning.norms import channel_axis

LIVE = 4  # tensors of the greatest size that are held at once while a suffix runs


@dataclass(frozen=True)
class Ablation:
    """How the channels of one layer are silenced.

    Attributes:
        layer: the layer.
        node: its only call; None where the weights must be zeroed, one channel at a time.
        suffix: the calls behind it.
        norms: those among them whose channel is silenced too.
        reads: tensors that must be at hand: its inputs, and what passes by it.
    """

    layer: ChannelLayer
    node: Node | None
    suffix: tuple[Node, ...] = ()
    norms: tuple[Node, ...] = ()
    reads: tuple[int, ...] = ()

    @classmethod
    def of(cls, graph: Graph, layer: ChannelLayer, parts: str) -> Ablation:
        """Returns how a layer's channels, which consist of `parts`, are silenced."""
        keras_layer = graph.model.get_layer(layer.layer)
        calls = graph.calls(keras_layer)
        node, suffix = calls[0], behind(graph, calls[0])
        if len(calls) > 1 or _has_masks(graph) or not all(
                later.kind and _is_by_example(later) for later in (node, *suffix)):
            return cls(layer, None)
        norms = norms_of(graph, keras_layer) if parts == "filter+bn" else []
        given = {tensor for later in (node, *suffix) for tensor in later.outputs}
        read = [*node.inputs, *(tensor for later in suffix for tensor in later.inputs)]
        return cls(layer, node, tuple(suffix), tuple(norms),
                   tuple(dict.fromkeys(tensor for tensor in read if tensor not in given)))


def _is_by_example(node: Node) -> bool:
    """Tells whether all that a node reads and gives has one row for each example."""
    tensors = tf.nest.flatten([arguments_of(node), node.call.outputs])
    return all(len(tensor.shape) > 0 and tensor.shape[0] is None for tensor in tensors
               if hasattr(tensor, "_keras_history"))


def _has_masks(graph: Graph) -> bool:
    """Tells whether Keras masks travel along the tensors, where no cut can see them."""
    tensors = [tensor for node in graph.nodes for tensor in tf.nest.flatten(node.call.outputs)]
    return any(getattr(tensor, "_keras_mask", None) is not None for tensor in tensors)


class Steps:
    """The steps of one measurement: a part of the probe, a layer, a block of its channels.

    Args:
        graph: the model's graph.
        ablations: the layers.
        images: the probe, `(n, height, width, channels)`.
        labels: int32 `(n,)`.
        memory: bytes that may be used at a time, about.

    Attributes:
        plan: arguments of `run`, in the order in which it must be called.
        correct, loss: correct predictions and summed losses of the whole model, so far.
    """

    def __init__(
        self, graph: Graph, ablations: Sequence[Ablation], images: np.ndarray, labels: np.ndarray,
        memory: int,
    ):
        self._graph, self._images, self._labels = graph, images, labels
        self._ablations = {ablation.layer.layer: ablation for ablation in ablations}
        self._from_logits = not ends_in_softmax(graph.model)
        self._reads = tuple(dict.fromkeys(t for a in ablations for t in a.reads))
        self._forward = tf.function(self._values_of, autograph=False, reduce_retracing=True)
        self._suffixes, self._rows, self._values = {}, None, ()
        sizes = self._sizes()
        cached = max(1, sum(sizes[tensor] for tensor in self._reads))
        part = max(1, min(len(labels), memory // cached))
        self.plan = [
            (slice(first, min(first + part, len(labels))), ablation.layer.layer, channels)
            for first in range(0, len(labels), part) for ablation in ablations
            for channels in _blocks(ablation, min(part, len(labels)), sizes, memory)]
        self.correct, self.loss = 0, 0.0

    def run(self, rows: slice, layer: str, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns correct predictions and summed losses without each of the channels."""
        labels = tf.constant(self._labels[rows])
        if rows != self._rows:
            self._rows = rows
            *self._values, outputs = self._forward(self._images[rows])
            right, loss = self._score(outputs, labels, 1)
            self.correct += int(right[0])
            self.loss += float(loss[0])
        ablation = self._ablations[layer]
        if ablation.node is None:
            return self._zeroing(ablation, rows, channels)
        known = dict(zip(self._reads, self._values))
        right, loss = self._suffix(ablation)(
            tf.constant(channels, tf.int32), labels, *(known[t] for t in ablation.reads))
        return right.numpy(), loss.numpy()

    def _values_of(self, images) -> tuple:
        """Returns the tensors that the suffixes read, and the outputs."""
        values = {self._graph.number_of(self._graph.model.inputs[0]): to_unit_range(images)}
        execute(self._graph, self._graph.nodes, values)
        return (*(values[tensor] for tensor in self._reads), values[self._graph.outputs[0]])

    def _score(self, outputs, labels, copies):
        """Returns correct predictions and summed losses of each copy of the examples."""
        labels = tf.tile(labels, [copies])
        right = tf.equal(tf.argmax(outputs, axis=1, output_type=tf.int32), labels)
        if self._from_logits:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        else:  # Keras' own goes back to the logits in some places, and clips in others
            own = tf.gather(outputs, labels, batch_dims=1)
            losses = -tf.math.log(tf.maximum(own, np.finfo(np.float32).tiny))
        return (tf.reduce_sum(tf.reshape(tf.cast(right, tf.int64), [copies, -1]), axis=1),
                tf.reduce_sum(tf.reshape(tf.cast(losses, tf.float64), [copies, -1]), axis=1))

    def _suffix(self, ablation: Ablation) -> Callable:
        """Returns `(channels, labels, *tensors) -> scores`, traced once for a layer."""
        name = ablation.layer.layer
        if name not in self._suffixes:
            self._suffixes[name] = tf.function(
                lambda channels, labels, *tensors: self._without(
                    ablation, channels, labels, dict(zip(ablation.reads, tensors))),
                autograph=False, reduce_retracing=True)
        return self._suffixes[name]

    def _without(self, ablation: Ablation, channels, labels, values: dict):
        """Runs the suffix with one channel silenced in each copy of the examples."""
        node, copies = ablation.node, tf.shape(channels)[0]
        with without_activation(node.layer):
            given = call(self._graph, node, values)
        values = {tensor: _tiled(value, copies) for tensor, value in values.items()}
        silent = _channels_of_copies(
            channels, ablation.layer.channels, tf.shape(labels)[0], given.shape.rank,
            channel_axis(node.layer, node))
        given = tf.where(silent, tf.zeros([], given.dtype), _tiled(given, copies))
        activation = node.layer.activation
        values[node.outputs[0]] = given if activation is None else activation(given)
        for later in ablation.suffix:
            execute(self._graph, [later], values)
            if later in ablation.norms:
                value = values[later.outputs[0]]
                values[later.outputs[0]] = tf.where(silent, tf.zeros([], value.dtype), value)
        return self._score(values[self._graph.outputs[0]], labels, copies)

    def _zeroing(self, ablation: Ablation, rows: slice, channels: np.ndarray):
        """Runs the whole model with the weights of one channel after the other zeroed."""
        before, scores = self._graph.read(), []
        labels = tf.constant(self._labels[rows])
        for channel in channels:
            after = without_channels(before, [ablation.layer], {ablation.layer.layer: [channel]})
            try:
                self._graph.write(before, after)
                scores.append(self._score(self._forward(self._images[rows])[-1], labels, 1))
            finally:
                self._graph.write(after, before)
        return (np.array([int(right[0]) for right, _ in scores]),
                np.array([float(loss[0]) for _, loss in scores]))

    def _sizes(self) -> dict[int, int]:
        """Returns the bytes of every tensor of the graph for one example."""
        values = {self._graph.number_of(self._graph.model.inputs[0]):
                  to_unit_range(tf.constant(self._images[:1]))}
        execute(self._graph, self._graph.nodes, values)
        return {tensor: int(tf.size(value)) * value.dtype.size for tensor, value in values.items()}


def _blocks(
    ablation: Ablation, examples: int, sizes: dict[int, int], memory: int
) -> list[np.ndarray]:
    """Returns the channels of a layer in blocks that fit into memory."""
    if ablation.node is None:
        return [np.array([channel]) for channel in range(ablation.layer.channels)]
    widest = max(sizes[tensor] for node in (ablation.node, *ablation.suffix)
                 for tensor in (*node.inputs, *node.outputs))
    block = max(1, memory // (LIVE * examples * widest))
    return [np.arange(first, min(first + block, ablation.layer.channels))
            for first in range(0, ablation.layer.channels, block)]


def _tiled(value, copies):
    """Returns the examples of a tensor `copies` times, one copy behind the other."""
    return tf.tile(value, tf.concat([[copies], tf.ones([tf.rank(value) - 1], tf.int32)], axis=0))


def _channels_of_copies(channels, count: int, examples, rank: int, axis: int):
    """Returns which channel is silent, bool, to be broadcast over a tensor of all copies."""
    silent = tf.repeat(tf.one_hot(channels, count, True, False, dtype=tf.bool), examples, axis=0)
    return tf.reshape(silent, [-1, *(count if n == axis else 1 for n in range(1, rank))])
