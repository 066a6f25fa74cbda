"""The graph of a Keras model as plain values: calls of layers, tensors between them, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.kinds import kind_of
from tfunlearn.pruning.variables import set_value, value_of


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer; tensors are numbers.

    Attributes:
        layer: the layer (or, under Keras 3, the operation) that is called.
        kind: name of its Keras class, empty where what it computes is not known.
        inputs: tensors that it reads.
        outputs: tensors that it gives.
        shape: shape of its first output without the batch axis; None for an open dimension.
        call: Keras' own node, which knows the arguments of the call.
    """

    layer: object
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]
    call: object


@dataclass(frozen=True, eq=False)
class Graph:
    """Who reads whom in a model, and where each weight lies in `model.get_weights()`.

    Attributes:
        model: the Keras model.
        nodes: the calls that lead to its outputs, each behind those that it reads.
        outputs: the tensors that the model gives.
        readers: tensor -> nodes that read it.
        variables: the model's weights, in the order of `model.get_weights()`.
        positions: id of a variable -> its place in that order.
        numbers: Keras' own name of a symbolic tensor -> its number.
    """

    model: object
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    readers: dict[int, list[Node]]
    variables: tuple
    positions: dict[int, int]
    numbers: dict[tuple, int]

    @classmethod
    def of(cls, model: tf.keras.Model) -> Graph:
        """Reads the graph of `model`.

        Raises:
            UserError: the model is not built, has no layer graph (subclassed), or nests another.
        """
        outputs = _outputs_of(model)
        numbers: dict[tuple, int] = {}
        nodes = [_node(call, numbers) for call in _calls_in_order(outputs)]
        models = tf.keras.Model
        for node in nodes:
            if isinstance(node.layer, models):
                raise UserError(
                    f"model: layer '{node.layer.name}' is itself a model; nested models are not "
                    "taken apart, flatten it into the outer model first")
        readers: dict[int, list[Node]] = {}
        for node in nodes:
            for tensor in dict.fromkeys(node.inputs):
                readers.setdefault(tensor, []).append(node)
        variables = tuple(model.weights)
        return cls(model, tuple(nodes), tuple(numbers[_key(tensor)] for tensor in outputs),
                   readers, variables, {id(w): n for n, w in enumerate(variables)}, numbers)

    def number_of(self, tensor) -> int:
        """Returns the number of one of the model's symbolic tensors."""
        return self.numbers[_key(tensor)]

    def calls(self, layer) -> list[Node]:
        """Returns the nodes that call `layer`."""
        return [node for node in self.nodes if node.layer is layer]

    def readers_of(self, nodes: Sequence[Node]) -> list[Node]:
        """Returns the nodes that read what `nodes` give."""
        found = {id(reader): reader for node in nodes for tensor in node.outputs
                 for reader in self.readers.get(tensor, ())}
        return list(found.values())

    def gives_output(self, nodes: Sequence[Node]) -> bool:
        """Tells whether some tensor of `nodes` is an output of the model."""
        return any(tensor in self.outputs for node in nodes for tensor in node.outputs)

    def position(self, weight) -> int | None:
        """Returns where `weight` lies in `model.get_weights()`; None for None."""
        return None if weight is None else self.positions[id(weight)]

    def positions_of(self, layer) -> list[int]:
        """Returns where the weights of `layer` lie, in the layer's own order."""
        return [self.positions[id(weight)] for weight in getattr(layer, "weights", ())]

    def read(self) -> list[np.ndarray]:
        """Returns the weights of the model.

        Raises:
            UserError: one of them is not finite; the message names it.
        """
        weights = [value_of(variable) for variable in self.variables]
        with np.errstate(over="ignore", invalid="ignore"):
            doubtful = [n for n, weight in enumerate(weights) if not np.isfinite(weight.sum())]
        for n in doubtful:
            if not np.isfinite(weights[n]).all():
                name = getattr(self.variables[n], "path", self.variables[n].name)
                raise UserError(f"model: weight '{name}' holds NaN or infinity; allowed are finite "
                                "weights")
        return weights

    def write(self, before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> None:
        """Sets the weights that differ (as objects) between two lists."""
        for variable, old, new in zip(self.variables, before, after):
            if new is not old:
                set_value(variable, new)


def _outputs_of(model) -> list:
    """Returns the symbolic outputs of a built model with a graph."""
    if not isinstance(model, tf.keras.Model):
        raise UserError(f"model: a {type(model).__name__} is not a Keras model")
    outputs = getattr(model, "outputs", None) if model.built else None
    if not outputs or not all(hasattr(tensor, "_keras_history") for tensor in outputs):
        raise UserError(
            f"model: '{model.name}' has no layer graph; allowed are built Sequential and "
            "functional models")
    return list(outputs)


def _key(tensor) -> tuple:
    layer, call, index = tensor._keras_history
    return id(layer), call, index


def _inputs_of(call) -> list:
    if call.is_input:
        return []
    return list(call.keras_inputs if hasattr(call, "keras_inputs") else call.input_tensors)


def _calls_in_order(outputs: list) -> list:
    """Returns Keras' own node objects, each behind those that it reads; no recursion."""
    done, order, stack = set(), [], [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        layer, number, _ = tensor._keras_history
        key = (id(layer), number)
        if expanded and key not in done:
            done.add(key)
            order.append(layer._inbound_nodes[number])
        elif key not in done:
            stack.append((tensor, True))
            stack += [(read, False) for read in reversed(_inputs_of(layer._inbound_nodes[number]))]
    return order


def _node(call, numbers: dict) -> Node:
    layer = call.operation if hasattr(call, "operation") else call.layer
    single = hasattr(call.outputs, "_keras_history")
    given = [call.outputs] if single else tf.nest.flatten(call.outputs)
    inputs = _inputs_of(call)
    outputs = tuple(numbers.setdefault(_key(tensor), len(numbers)) for tensor in given)
    kind = kind_of(layer)
    shape, read = tuple(given[0].shape[1:]), tuple(numbers[_key(tensor)] for tensor in inputs)
    is_operator = type(layer).__name__ == "TFOpLambda" or not isinstance(
        layer, tf.keras.layers.Layer)
    node = Node(layer, kind, read, outputs, shape, call)
    if len(given) > 1 or (not is_operator and _has_more_arguments(node)) or (
            is_operator and kind == "Add" and not _are_alike(inputs)):
        return replace(node, kind="")
    return node


def arguments_of(node: Node) -> tuple[tuple, dict]:
    """Returns what a layer is called with, symbolic tensors included, as Keras recorded it."""
    if hasattr(node.call, "arguments"):
        return tuple(node.call.arguments.args), dict(node.call.arguments.kwargs)
    return tuple(node.call.call_args or ()), dict(node.call.call_kwargs or {})


def _has_more_arguments(node: Node) -> bool:
    """Tells whether a layer is called with more than its input: `training=True`, a mask."""
    positional, named = arguments_of(node)
    return any(value is not None and value is not False
               for value in [*positional[1:], *named.values()])


def _are_alike(summands: list) -> bool:
    """Tells whether no summand is a constant, or of another rank (which operators align anew)."""
    return len(summands) > 1 and len({len(tensor.shape) for tensor in summands}) == 1
