"""Interval propagation through a model: bounds of activations and of changes by pruning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.intervals.layer_stages import WITHOUT_BOUNDS, stages_of
from tfunlearn.pruning.intervals.merges import BOUNDS, DIFFERENCES
from tfunlearn.pruning.intervals.stages import Interval, NoBounds, Stage

InputRange = tuple  # (low, high), numbers or arrays of the input's shape
LARGEST = 1e30  # largest absolute input, to avoid early overflow of bounds


def activation_bounds(
    model: tf.keras.Model, *, input_range: InputRange = (0.0, 1.0)
) -> dict[str, Interval]:
    """Return bounds of the outputs of every layer, for all inputs in a range.

    Interval arithmetic layer by layer: sound (in exact arithmetic; float32 rounding adds about one
    part in a million), but wider with every layer. A final softmax is left out, so that the outputs
    are logits.

    Args:
        model: a built Sequential or functional model.
        input_range: lowest and highest input, numbers or arrays of the input's shape without the
            batch axis; default (0, 1).

    Returns:
        A mapping from layer name to two arrays of the layer's output shape without the batch
        axis. For a layer called several times, they cover all calls; if the output shapes differ,
        they are two single numbers.

    Raises:
        UserError: `input_range` is invalid, or no bounds exist for some layer of the model.
    """
    graph = Graph.of(model)
    propagation = Propagation(graph, graph.read(), input_range)
    found: dict[str, Interval] = {}
    for node in graph.nodes:
        low, high = propagation.bounds(node.outputs[0])
        interval = low[0], high[0]
        name = graph.name_of(node.layer)
        known = found.get(name)
        found[name] = interval if known is None else _hull(known, interval)
    return found


def predicted_impact(
    model: tf.keras.Model, weights: Sequence[np.ndarray], *, input_range: InputRange = (0.0, 1.0)
) -> Interval:
    """Return bounds on the change of the outputs if the model's weights became `weights`.

    For every input in the range, `new output - old output` lies between the two arrays. A final
    softmax is left out, so that the outputs are logits.

    Args:
        model: a built Sequential or functional model.
        weights: arrays of the shapes of `model.get_weights()`.
        input_range: as for `activation_bounds`.

    Returns:
        Two flat arrays `(outputs,)`; several model outputs are concatenated.

    Raises:
        UserError: as `activation_bounds`, or `weights` has other shapes or is not finite.
    """
    graph = Graph.of(model)
    old = graph.read()
    if [w.shape for w in old] != [np.shape(w) for w in weights]:
        raise UserError("weights: their shapes are not those of the model's own weights")
    if not all(np.isfinite(w).all() for w in weights):
        raise UserError("weights: must be finite; some are NaN or infinite")
    new = [own if np.array_equal(own, w) else np.asarray(w) for own, w in zip(old, weights)]
    lo, hi = Propagation(graph, old, input_range).change(new)
    return lo[0], hi[0]


class Propagation:
    """Interval propagation in one model with one list of weights.

    Bounds are computed on demand and cached; `update` removes those invalidated by new weights.
    """

    def __init__(self, graph: Graph, weights: Sequence[np.ndarray], input_range: InputRange):
        self.graph, self.weights = graph, list(weights)
        self._range = range_ends(input_range)
        self._bounds: dict[int, Interval] = {}
        self._exact: dict[int, tuple] = {}
        self._used: dict[Node, set[int]] = {}  # weights used for the bounds of a node

    def bounds(self, tensor: int) -> Interval:
        """Return the bounds of a tensor, each `(1, *shape)` float64."""
        if tensor not in self._bounds:
            for node in self._needed_for(tensor):
                if node.outputs[0] not in self._bounds:
                    self._bounds[node.outputs[0]] = self._bounds_of(node)
        return self._bounds[tensor]

    def check_range(self) -> None:
        """Raise a `UserError` if the shape of the range does not fit an input of the model."""
        for node in self.graph.nodes:
            if not node.inputs:
                with contextlib.suppress(NoBounds):
                    self._input_bounds(node)

    def update(self, weights: Sequence[np.ndarray]) -> None:
        """Set new weights and remove the cached bounds that depend on changed ones."""
        changed = {n for n, (old, new) in enumerate(zip(self.weights, weights)) if old is not new}
        self.weights = list(weights)
        stale: set[int] = set()
        for node in self.graph.nodes:
            if changed.intersection(self._used.get(node, ())) or stale.intersection(node.inputs):
                stale.update(node.outputs)
        for tensor in stale:
            self._bounds.pop(tensor, None)
        kept = {id(weight) for weight in self.weights}
        self._exact = {key: value for key, value in self._exact.items() if key in kept}

    def difference(self, starts: dict[Node, Interval]) -> Interval:
        """Return bounds on the change of the outputs, `(batch, all outputs)`.

        Args:
            starts: node -> bounds on the change of its first stage's result, `(batch, ...)`.
        """
        batch = len(next(iter(starts.values()))[0])
        return self._ends(
            batch,
            {
                node: lambda _, node=node, start=start: _through(self._stages(node)[1:], start)
                for node, start in starts.items()
            },
        )

    def change(self, weights: Sequence[np.ndarray]) -> Interval:
        """Return bounds on the output change for new weights `weights`, `(1, all outputs)`."""
        other = Propagation(self.graph, weights, self._range)
        other._exact = self._exact  # same array, same object: stages see no change
        altered = {n for n, (old, new) in enumerate(zip(self.weights, weights)) if old is not new}

        def changed(node: Node, inputs) -> Interval:
            (move,) = inputs or [self._still(node.inputs[0], 1)]
            x = self.bounds(node.inputs[0])
            for old, new in zip(self._stages(node), other._stages(node)):
                move, x = old.change(cast(Any, new), x, move), old.bounds(*x)  # of one class
            return move

        return self._ends(
            1,
            {
                node: lambda inputs, node=node: changed(node, inputs)
                for node in self.graph.nodes
                if altered.intersection(self.graph.positions_of(node.layer))
            },
        )

    def _ends(self, batch: int, special: dict[Node, Callable]) -> Interval:
        """Propagate changes through the graph.

        `special` nodes compute their own change from the changes of their inputs.
        """
        moves: dict[int, Interval] = {}
        for node in self.graph.nodes:
            inputs = None
            if any(tensor in moves for tensor in node.inputs):
                inputs = [
                    moves[tensor] if tensor in moves else self._still(tensor, batch)
                    for tensor in node.inputs
                ]
            if node in special:
                moves[node.outputs[0]] = special[node](inputs)
            elif inputs is not None and node.kind in DIFFERENCES:
                moves[node.outputs[0]] = DIFFERENCES[node.kind](node, inputs)
            elif inputs is not None:
                moves[node.outputs[0]] = _through(self._stages(node), inputs[0])
        ends = [
            moves[tensor] if tensor in moves else self._still(tensor, batch)
            for tensor in self.graph.outputs
        ]
        low, high = (
            np.concatenate([end[side].reshape(batch, -1) for end in ends], axis=1)
            for side in (0, 1)
        )
        return low, high

    def _needed_for(self, tensor: int) -> list[Node]:
        wanted, needed = {tensor}, []
        for node in reversed(self.graph.nodes):
            if wanted.intersection(node.outputs):
                needed.append(node)
                wanted.update(t for t in node.inputs if t not in self._bounds)
        return needed[::-1]

    def _bounds_of(self, node: Node) -> Interval:
        if not node.inputs:
            return self._input_bounds(node)
        inputs = [self._bounds[tensor] for tensor in node.inputs]
        if node.kind in BOUNDS:
            return BOUNDS[node.kind](node, inputs)
        stages, (interval, *_) = self._stages(node), inputs
        for stage in stages:
            interval = stage.bounds(*interval)
        return interval

    def _input_bounds(self, node: Node) -> Interval:
        low, high = self._range
        shape = np.broadcast_shapes(low.shape, high.shape)
        if None in node.shape and len(shape) != len(node.shape):
            raise NoBounds(
                "input_range: must be arrays of the full shape, since the input "
                f"'{node.layer.name}' has an open dimension {node.shape}; {WITHOUT_BOUNDS}"
            )
        if None not in node.shape:
            shape = cast(tuple[int, ...], node.shape)
        try:
            return np.full((1, *shape), low), np.full((1, *shape), high)
        except ValueError:
            raise UserError(
                f"input_range: shapes {low.shape}, {high.shape} do not fit the input "
                f"'{node.layer.name}' of shape {node.shape}"
            )

    def _still(self, tensor: int, batch: int) -> Interval:
        """Return a change of zero."""
        zero = np.broadcast_to(0.0, (batch, *self.bounds(tensor)[0].shape[1:]))
        return zero, zero

    def _stages(self, node: Node) -> list[Stage]:
        if len(node.inputs) != 1:
            names = ", ".join(sorted(BOUNDS))
            raise NoBounds(
                f"model: no bounds pass layer '{self.graph.name_of(node.layer)}' "
                f"({type(node.layer).__name__} with {len(node.inputs)} inputs; known "
                f"with several are {names}); {WITHOUT_BOUNDS}"
            )
        used = self._used.setdefault(node, set())

        def value(variable) -> np.ndarray:
            position = self.graph.positions[id(variable)]
            used.add(position)
            return self._as_float64(self.weights[position])

        return stages_of(self.graph, node, value)

    def _as_float64(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight as float64; the same weight always gives the same object."""
        if id(weight) not in self._exact:
            self._exact[id(weight)] = weight, weight.astype(np.float64)
        return self._exact[id(weight)][1]


def range_ends(input_range: InputRange) -> Interval:
    """Return the validated ends of the range as arrays."""
    try:
        low, high = (np.asarray(end, np.float64) for end in input_range)
        holds = bool(np.all(low <= high) and np.all(np.abs([low.min(), high.max()]) <= LARGEST))
    except (TypeError, ValueError):
        holds = False
    if not holds:
        raise UserError(
            f"input_range: must be (low, high), low <= high, both at most {LARGEST:g} in size; "
            f"got {input_range!r}"
        )
    return low, high


def _hull(one: Interval, other: Interval) -> Interval:
    """Return the smallest interval that contains both."""
    if one[0].shape != other[0].shape:
        one, other = ((lo.min(), hi.max()) for lo, hi in (one, other))
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _through(stages: Sequence[Stage], move: Interval) -> Interval:
    for stage in stages:
        move = stage.difference(*move)
    return move
