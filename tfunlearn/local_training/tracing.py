"""Tracing of the work of one client, once, for any engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tfunlearn.core.lazy import tf


class TracedWork:
    """The work of one client as one TensorFlow graph.

    Args:
        function: `(*given, client) -> tuple of tensors`, on tensors; `client` is a mapping.
        given: specification of what all clients receive.
        client: specification of the entries of a client, keys in sorted order. Only the length of
            an entry, its first dimension, may differ from client to client.

    Raises:
        ValueError: the shape of a result depends on the client.

    Calling it with tensors `(*given, client)` returns the tuple; it can be called inside other
    graphs.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        given: Sequence[tf.TensorSpec],
        client: Mapping[str, tf.TensorSpec],
    ):
        self.given, self.client = list(given), dict(client)
        count = len(self.given)
        self._traced = tf.function(
            lambda *values: tuple(function(*values[:count], dict(zip(client, values[count:])))),
            autograph=False,
        ).get_concrete_function(*self.given, *self.client.values())
        for output in self._traced.outputs:
            if not output.shape.is_fully_defined():
                raise ValueError(
                    f"results must have the same shape for every client; got {output.shape}"
                )

    def __call__(self, *values) -> tuple:
        *given, client = values
        return self._traced(*given, *(client[name] for name in self.client))

    @property
    def result_bytes(self) -> int:
        """Size of the results of one client."""
        return sum(
            output.dtype.size * output.shape.num_elements() for output in self._traced.outputs
        )

    @cached_property
    def in_turn(self) -> Callable[..., list[np.ndarray]]:
        """`(*given, clients) -> results` runs several clients in one graph, one after the other.

        One call of TensorFlow for several small clients costs less than one for each. `clients` is
        a sequence of mappings of arrays; the results are the arrays of all clients, one row each.
        It can be called from several threads at once.
        """
        varying = self._varying()
        traced = tf.function(self._loop, autograph=False).get_concrete_function(
            self.given,
            tf.TensorSpec([], tf.int32),
            {
                name: spec if name in varying else tf.TensorSpec([None, *spec.shape], spec.dtype)
                for name, spec in self.client.items()
            },
            {name: tf.TensorSpec([None], tf.int32) for name in varying},
        )

        def run(*values: Any) -> list[np.ndarray]:
            *given, clients = values
            joined, ends = {}, {}
            for name in self.client:
                arrays = [client[name] for client in clients]
                if name in varying:
                    ends[name] = np.cumsum([0] + [len(array) for array in arrays], dtype=np.int32)
                join = np.concatenate if name in varying else np.stack
                joined[name] = tf.constant(join(arrays))  # keeps a wrong dtype, which is refused
            results = traced(given, len(clients), joined, ends)
            return [result.numpy() for result in results]

        return run

    def _varying(self) -> set[str]:
        """Return the names of the entries whose length differs from client to client."""
        return {
            name for name, spec in self.client.items() if spec.shape.rank and spec.shape[0] is None
        }

    def _loop(self, given: list, count, joined: dict, ends: dict) -> list:
        """Return the results of all clients, one row each; on tensors.

        Args:
            given: what all clients receive.
            count: number of clients.
            joined: entries of all clients, stacked, or end to end if their lengths differ.
            ends: places in the entries that are end to end where clients begin and end.
        """

        def one(place, collected):
            client = {
                name: values[ends[name][place] : ends[name][place + 1]]
                if name in ends
                else values[place]
                for name, values in joined.items()
            }
            results = self(*given, client)
            return place + 1, [
                array.write(place, result) for array, result in zip(collected, results)
            ]

        start = [
            tf.TensorArray(output.dtype, size=count, element_shape=output.shape)
            for output in self._traced.outputs
        ]
        _, collected = tf.while_loop(
            lambda place, _: place < count, one, (tf.constant(0), start), parallel_iterations=1
        )
        return [array.stack() for array in collected]
