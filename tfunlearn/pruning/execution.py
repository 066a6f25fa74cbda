"""Execution of parts of a model's graph on given tensors, in inference mode."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfunlearn.core.features import to_unit_range
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import named_inputs
from tfunlearn.pruning.graph import Graph, Node, arguments_of


def execute(nodes: Iterable[Node], values: dict[int, Any]) -> None:
    """Call the layers of `nodes`, which must be in graph order.

    Args:
        nodes: the calls to make; input layers are skipped.
        values: tensor number -> value; must contain all tensors that the nodes read, unless an
            earlier node produces them. The outputs of the nodes are added.
    """
    for node in nodes:
        if not node.call.is_input:
            given = tf.nest.flatten(call(node, values))
            values.update(zip(node.outputs, given))


def execute_all(graph: Graph, features) -> dict[int, Any]:
    """Return all tensors of a model for features: a tensor, or a mapping from input to tensor."""
    given = to_unit_range(features)
    if not isinstance(given, Mapping):
        values = {graph.inputs[0]: given}
    else:
        names = {id(tensor): name for name, tensor in named_inputs(graph.model).items()}
        values = {
            number: given[names[id(tensor)]]
            for number, tensor in zip(graph.inputs, graph.model.inputs)
        }
    execute(graph.nodes, values)
    return values


def call(node: Node, values: dict[int, Any]):
    """Return the output of one layer call, in inference mode unless the model sets `training`."""
    positional, named = tf.nest.map_structure(
        lambda value: values[node.number_of(value)] if hasattr(value, "_keras_history") else value,
        arguments_of(node),
    )
    if (
        named.get("training") is None
        and "training" in inspect.signature(node.layer.call).parameters
    ):
        named["training"] = False
    return node.layer(*positional, **named)


def behind(graph: Graph, start: Node) -> list[Node]:
    """Return the nodes that directly or indirectly read the outputs of `start`."""
    reached, found = set(start.outputs), []
    for node in graph.nodes:
        if node is not start and reached & set(node.inputs):
            reached |= set(node.outputs)
            found.append(node)
    return found


def waists(graph: Graph) -> list[tuple[int, int]]:
    """Return the points where the graph is one tensor wide, as pairs (position, tensor).

    Nodes after that position in `graph.nodes` read only this tensor of all earlier outputs. The
    last pair is the output of the model, which must be a single tensor.
    """
    last = {tensor: len(graph.nodes) for tensor in graph.outputs}
    for position, node in enumerate(graph.nodes):
        for tensor in node.inputs:
            last[tensor] = max(position, last.get(tensor, 0))
    found, alive = [], {tensor for tensor in graph.inputs if tensor in last}
    for position, node in enumerate(graph.nodes):
        alive = {tensor for tensor in (*alive, *node.outputs) if last.get(tensor, -1) > position}
        if len(alive) == 1:
            found.append((position, *alive))
    return found


class Tail:
    """Execution of a model from one waist of its graph to the output; each segment is traced once.

    Args:
        graph: the model's graph.

    Attributes:
        waists: as returned by `waists`.
    """

    def __init__(self, graph: Graph):
        self.waists, self._graph, self._stretches = waists(graph), graph, {}

    def __call__(self, number: int, value):
        """Return the output of the model for a value of the tensor of waist `number`."""
        for each in range(number, len(self.waists) - 1):
            value = self._stretch(each, value)(value)
        return value

    def _stretch(self, number: int, value):
        """Return the function that maps a waist's tensor to the next one."""
        if number not in self._stretches:
            (first, given), (last, wanted) = self.waists[number : number + 2]
            nodes = self._graph.nodes[first + 1 : last + 1]

            def run(tensor):
                values = {given: tensor}
                execute(nodes, values)
                return values[wanted]

            self._stretches[number] = trace_batches(run, [value])
        return self._stretches[number]


def trace_batches(function, examples: Iterable):
    """Return `function`, traced for tensors like `examples` with any length of the first axis."""
    return tf.function(function, autograph=False).get_concrete_function(
        *(
            tf.nest.map_structure(
                lambda part: tf.TensorSpec([None, *part.shape[1:]], part.dtype), example
            )
            for example in examples
        )
    )


@contextlib.contextmanager
def without_activation(layer) -> Iterator[None]:
    """Remove a layer's activation while its calls are traced inside the block."""
    kept = layer.activation
    vars(layer)["activation"] = None
    try:
        yield
    finally:
        vars(layer)["activation"] = kept
