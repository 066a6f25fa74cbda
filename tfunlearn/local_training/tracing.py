"""Tracing of the work of one client, once, for any engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfunlearn.core.lazy import tf


class TracedWork:
    """The work of one client as one TensorFlow graph.

    Args:
        function: `(*given, client) -> tuple of tensors`, on tensors; `client` is a mapping.
        given: specification of what all clients receive.
        client: specification of the entries of a client, keys in sorted order.

    Calling it with tensors `(*given, client)` returns the tuple; it can be called inside other
    graphs, and from several threads at once.
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

    def __call__(self, *values) -> tuple:
        *given, client = values
        return self._traced(*given, *(client[name] for name in self.client))

    @property
    def result_bytes(self) -> int:
        """Size of the results of one client."""
        return sum(
            output.dtype.size * (output.shape.num_elements() or 0)
            for output in self._traced.outputs
        )
