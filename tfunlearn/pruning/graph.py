"""The graph of a Keras model as plain values: layer calls, tensors between them, weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.layer_types import kind_of
from tfunlearn.pruning.variables import set_value, value_of


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer; tensors are identified by numbers.

    Attributes:
        layer: the layer (or, under Keras 3, the operation) that is called.
        kind: name of its Keras class, empty if its computation is unknown.
        inputs: tensors read by the call.
        outputs: tensors produced by the call.
        shape: shape of its first output without the batch axis; None for an unknown dimension.
        call: Keras's own node, which stores the arguments of the call.
        scope: key of a symbolic tensor -> its number, in the model that makes the call.
    """

    layer: Any
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]
    call: Any
    scope: Mapping[tuple, int]

    def number_of(self, tensor) -> int:
        """Return the number of a symbolic tensor among the arguments of the call."""
        return self.scope[_key(tensor)]


@dataclass(frozen=True, eq=False)
class Graph:
    """Tensor connections in a model and the position of each weight in `model.get_weights()`.

    Nested models are flattened, to any depth: each call of one becomes calls of its layers, which
    are named `outer/inner`.

    Attributes:
        model: the Keras model.
        nodes: the calls that lead to the model's outputs, each after those whose outputs it reads.
        inputs: input tensors of the model.
        outputs: output tensors of the model.
        readers: tensor -> nodes that read it.
        variables: the model's weights, in the order of `model.get_weights()`.
        positions: id of a variable -> its position in that order.
        layers: name -> layer, of all layers that are not models, in the model's order.
        hidden: id of a layer in a nested model that cannot be flattened -> reason.
    """

    model: tf.keras.Model
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    readers: dict[int, list[Node]]
    variables: tuple
    positions: dict[int, int]
    layers: dict[str, Any]
    hidden: dict[int, str]
    _names: dict[int, str]
    _calls: dict[int, list[Node]]

    @classmethod
    def of(cls, model: tf.keras.Model) -> Graph:
        """Return the graph of `model`.

        Raises:
            UserError: the model is not built, or has no layer graph (subclassed).
        """
        outputs, scope = _outputs_of(model), {}
        nodes, hidden = _flat_calls(outputs, scope)
        readers: dict[int, list[Node]] = {}
        calls: dict[int, list[Node]] = {}
        for node in nodes:
            calls.setdefault(id(node.layer), []).append(node)
            for tensor in dict.fromkeys(node.inputs):
                readers.setdefault(tensor, []).append(node)
        variables, layers = tuple(model.weights), dict(_named_layers(model))
        names = {}
        for name, layer in layers.items():
            names.setdefault(id(layer), name)
        inputs = tuple(scope[_key(tensor)] for tensor in model.inputs if _key(tensor) in scope)
        return cls(
            model,
            tuple(nodes),
            inputs,
            tuple(scope[_key(tensor)] for tensor in outputs),
            readers,
            variables,
            {id(w): n for n, w in enumerate(variables)},
            {name: layer for name, layer in layers.items() if names[id(layer)] == name},
            hidden,
            names,
            calls,
        )

    def name_of(self, layer) -> str:
        """Return the name of a layer, prefixed with the names of the models that contain it."""
        own: str = layer.name
        return self._names.get(id(layer), own)

    def calls(self, layer) -> list[Node]:
        """Return the nodes that call `layer`."""
        return self._calls.get(id(layer), [])

    def readers_of(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the nodes that read outputs of `nodes`."""
        found = {
            id(reader): reader
            for node in nodes
            for tensor in node.outputs
            for reader in self.readers.get(tensor, ())
        }
        return list(found.values())

    def gives_output(self, nodes: Sequence[Node]) -> bool:
        """Return whether an output of `nodes` is an output of the model."""
        return any(tensor in self.outputs for node in nodes for tensor in node.outputs)

    @overload
    def position(self, weight: None) -> None: ...

    @overload
    def position(self, weight: Any) -> int: ...

    def position(self, weight: Any) -> int | None:
        """Return the position of `weight` in `model.get_weights()`; None for None."""
        return None if weight is None else self.positions[id(weight)]

    def positions_of(self, layer) -> list[int]:
        """Return the positions of the weights of `layer`, in the layer's own order."""
        return [self.positions[id(weight)] for weight in getattr(layer, "weights", ())]

    def values(self) -> list[np.ndarray]:
        """Return the weights of the model without checking them."""
        return [value_of(variable) for variable in self.variables]

    def read(self) -> list[np.ndarray]:
        """Return the weights of the model.

        Raises:
            UserError: a weight is not finite; the message names it.
        """
        weights = self.values()
        with np.errstate(over="ignore", invalid="ignore"):
            doubtful = [n for n, weight in enumerate(weights) if not np.isfinite(weight.sum())]
        for n in doubtful:
            if not np.isfinite(weights[n]).all():
                name = getattr(self.variables[n], "path", self.variables[n].name)
                raise UserError(f"model: weight '{name}' must be finite; it holds NaN or infinity")
        return weights

    def write(self, before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> None:
        """Set the weights that are different objects in the two lists."""
        for variable, old, new in zip(self.variables, before, after):
            if new is not old:
                set_value(variable, new)


def _outputs_of(model) -> list:
    """Return the symbolic outputs of a built model with a graph."""
    if not isinstance(model, tf.keras.Model):
        raise UserError(f"model: a {type(model).__name__} is not a Keras model")
    if not has_graph(model):
        raise UserError(
            f"model: must be a built Sequential or functional model; '{model.name}' has no layer "
            "graph"
        )
    return list(model.outputs)


def _key(tensor) -> tuple:
    layer, call, index = tensor._keras_history
    return id(layer), call, index


def _inputs_of(call) -> list:
    if call.is_input:
        return []
    return list(call.keras_inputs if hasattr(call, "keras_inputs") else call.input_tensors)


def _flat_calls(outputs: list, scope: dict[tuple, int]) -> tuple[list[Node], dict[int, str]]:
    """Return the calls that lead to a model's outputs, and the hidden layers with reasons.

    Args:
        outputs: symbolic output tensors of the model.
        scope: key of a symbolic tensor -> its number; filled by this function.
    """
    nodes, hidden, fresh = [], {}, itertools.count()

    def walk(tensors: list, scope: dict[tuple, int]) -> None:
        for call in _calls_in_order(tensors, set(scope)):
            layer, inputs = _layer_of(call), _inputs_of(call)
            reason = _why_closed(layer, call)
            if not isinstance(layer, tf.keras.Model) or reason is not None:
                nodes.append(_node(call, scope, fresh))
                if reason is not None:
                    hidden.update({id(each): reason for each in layer._flatten_layers()})
                continue
            inner = {_key(own): scope[_key(given)] for own, given in zip(layer.inputs, inputs)}
            walk(list(layer.outputs), inner)
            for own, given in zip(layer.outputs, tf.nest.flatten(call.outputs)):
                scope[_key(given)] = inner[_key(own)]

    walk(outputs, scope)
    return nodes, hidden


def _why_closed(layer, call) -> str | None:
    """Return the reason why a nested model cannot be flattened; None for all other layers."""
    if not isinstance(layer, tf.keras.Model):
        return None
    if not has_graph(layer):
        return f"inside '{layer.name}', whose class {type(layer).__name__} has no layer graph"
    positional, named = arguments_of_call(call)
    given = positional[0] if positional else named.pop("inputs", None)
    if _says_something([*positional[1:], *named.values()]):
        return f"inside '{layer.name}', which is called with more than its inputs"
    if len(_inputs_of(call)) != len(layer.inputs) or (
        isinstance(given, dict) != isinstance(_structure_of(layer), dict)
    ):
        return f"inside '{layer.name}', which is called with inputs of another structure"
    return None


def _structure_of(model):
    """Return the symbolic inputs of a model in their nested structure."""
    return None if isinstance(model, tf.keras.Sequential) else model.input


def has_graph(model) -> bool:
    """Return whether a model is built and Sequential or functional."""
    outputs = getattr(model, "outputs", None) if model.built else None
    return bool(outputs) and all(hasattr(tensor, "_keras_history") for tensor in outputs)


def _named_layers(model, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all layers that are not models, each with a name prefixed by its models' names."""
    for layer in getattr(model, "operations", model.layers):
        if isinstance(layer, tf.keras.Model) and has_graph(layer):
            yield from _named_layers(layer, f"{before}{layer.name}/")
        elif isinstance(layer, tf.keras.Model):
            for inner in layer._flatten_layers(include_self=False):
                yield f"{before}{layer.name}/{inner.name}", inner
        else:
            yield before + layer.name, layer


def _calls_in_order(outputs: list, known: set[tuple]) -> list:
    """Return Keras's own nodes in topological order, back to known tensors; without recursion."""
    done, order, stack = set(), [], [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        layer, number, _ = tensor._keras_history
        key = (id(layer), number)
        if _key(tensor) in known:
            continue
        if expanded and key not in done:
            done.add(key)
            order.append(layer._inbound_nodes[number])
        elif key not in done:
            stack.append((tensor, True))
            stack += [(read, False) for read in reversed(_inputs_of(layer._inbound_nodes[number]))]
    return order


def _layer_of(call):
    return call.operation if hasattr(call, "operation") else call.layer


def _node(call, scope: dict[tuple, int], fresh: Iterator[int]) -> Node:
    layer = _layer_of(call)
    single = hasattr(call.outputs, "_keras_history")
    given = [call.outputs] if single else tf.nest.flatten(call.outputs)
    inputs = _inputs_of(call)
    for tensor in given:
        if _key(tensor) not in scope:
            scope[_key(tensor)] = next(fresh)
    outputs = tuple(scope[_key(tensor)] for tensor in given)
    kind = "" if isinstance(layer, tf.keras.Model) else kind_of(layer)
    shape, read = tuple(given[0].shape[1:]), tuple(scope[_key(tensor)] for tensor in inputs)
    is_operator = type(layer).__name__ == "TFOpLambda" or not isinstance(
        layer, tf.keras.layers.Layer
    )
    node = Node(layer, kind, read, outputs, shape, call, scope)
    if (
        len(given) > 1
        or (not is_operator and _has_more_arguments(node))
        or (is_operator and kind == "Add" and not _are_alike(inputs))
    ):
        return replace(node, kind="")
    return node


def arguments_of(node: Node) -> tuple[tuple, dict]:
    """Return the arguments of a layer call, including symbolic tensors, as recorded by Keras."""
    return arguments_of_call(node.call)


def arguments_of_call(call) -> tuple[tuple, dict]:
    """Return the arguments of one of Keras's own nodes, including symbolic tensors."""
    if hasattr(call, "arguments"):
        return tuple(call.arguments.args), dict(call.arguments.kwargs)
    return tuple(call.call_args or ()), dict(call.call_kwargs or {})


def _has_more_arguments(node: Node) -> bool:
    """Return whether a layer is called with arguments other than its input (`training`, a mask)."""
    positional, named = arguments_of(node)
    return _says_something([*positional[1:], *named.values()])


def _says_something(arguments: list) -> bool:
    """Return whether any argument, in any nested structure, is neither None nor False."""
    return any(value is not None and value is not False for value in tf.nest.flatten(arguments))


def _are_alike(summands: list) -> bool:
    """Return whether there are at least two tensors, all of the same rank (no constant summand)."""
    return len(summands) > 1 and len({len(tensor.shape) for tensor in summands}) == 1
