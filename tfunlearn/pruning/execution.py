"""Runs parts of a model's graph, on tensors that are at hand, as the model does in inference."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator

from tfunlearn.core.lazy import tf
from tfunlearn.pruning.graph import Graph, Node, arguments_of


def execute(graph: Graph, nodes: Iterable[Node], values: dict[int, object]) -> None:
    """Calls the layers of `nodes`, which lie in the order of the graph.

    Args:
        graph: the model's graph.
        nodes: the calls to make; those of input layers are passed over.
        values: number of a tensor -> its value; those that the nodes read must be there, or be
            given by an earlier node. What they give is added.
    """
    for node in nodes:
        if not node.call.is_input:
            given = tf.nest.flatten(call(graph, node, values))
            values.update(zip(node.outputs, given))


def call(graph: Graph, node: Node, values: dict[int, object]):
    """Returns what one layer makes of its inputs, in inference unless the model says otherwise."""
    positional, named = tf.nest.map_structure(
        lambda value: values[graph.number_of(value)] if hasattr(value, "_keras_history") else value,
        arguments_of(node))
    if named.get("training") is None and "training" in inspect.signature(
            node.layer.call).parameters:
        named["training"] = False
    return node.layer(*positional, **named)


def behind(graph: Graph, start: Node) -> list[Node]:
    """Returns the nodes that read, through others or not, what `start` gives."""
    reached, found = set(start.outputs), []
    for node in graph.nodes:
        if node is not start and reached & set(node.inputs):
            reached |= set(node.outputs)
            found.append(node)
    return found


@contextlib.contextmanager
def without_activation(layer) -> Iterator[None]:
    """Takes a layer's activation away while calls of it are traced."""
    kept = layer.activation
    vars(layer)["activation"] = None
    try:
        yield
    finally:
        vars(layer)["activation"] = kept
