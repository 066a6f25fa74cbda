"""Aggregation rules as `tff.aggregators` factories, for any TFF process."""

from __future__ import annotations

import collections
from typing import Any, cast

import numpy as np

from tfunlearn.aggregation.aggregator import Aggregator
from tfunlearn.core.errors import UserError, refuse, require
from tfunlearn.core.lazy import tf, tff


def rule_factory(aggregator: Aggregator, *, clients: int, weighted: bool = True):
    """Return a `tff.aggregators` factory that runs a rule on the server, inside TFF.

    The updates are collected by reference, then the functions of this package run on the stack, in
    the client order of TFF. The results equal those on arrays bit for bit, except for numbers below
    1.2e-38, which TensorFlow flushes to zero, and for rows that share an offset much larger than
    their distances. A round with too few clients for the rule is an error.

    The state is a mapping: `round`, the number of completed rounds, and `reference`, the previous
    aggregate (centered-clipping) or the server's own update, which the caller sets before each
    round (fltrust). A client of weight 0 is treated like one with a non-finite update. A round
    without any client of positive weight and finite update returns zeros.

    Args:
        aggregator: the rule with its settings.
        clients: maximum number of clients in a round; `byzantine` fractions refer to it.
        weighted: return a `WeightedAggregationFactory` (True, default) or an
            `UnweightedAggregationFactory`.

    Raises:
        UserError: the rule is not valid for this number of clients, or does not run on tensors
            with its settings; or, on creation, the values are not float32.

    Example:
        tff.learning.algorithms.build_weighted_fed_avg(
            model_fn, client_optimizer_fn=...,
            model_aggregator=rule_factory(Aggregator("krum", 2), clients=20))
    """
    require("clients", clients, isinstance(clients, int) and clients >= 1, "a whole number >= 1")
    setting = aggregator.needs_arrays
    if setting is not None:
        value = getattr(aggregator.own, setting, aggregator.rule)
        refuse(setting, value, False, f"inside TFF with rule {aggregator.rule}; gather the updates")
    aggregator.check(clients)
    base = cast(
        Any,
        tff.aggregators.WeightedAggregationFactory
        if weighted
        else tff.aggregators.UnweightedAggregationFactory,
    )

    def create_weighted(self, value_type, weight_type):
        return _process(aggregator, clients, value_type, weight_type)

    def create_unweighted(self, value_type):
        return _process(aggregator, clients, value_type, None)

    class RuleFactory(base):
        create = create_weighted if weighted else create_unweighted

    return tff.aggregators.concat_factory(RuleFactory())


def _process(aggregator: Aggregator, clients: int, value_type, weight_type):
    """Return the `tff.templates.AggregationProcess` for float32 vectors."""
    if value_type.dtype != np.float32:
        raise UserError(f"value: must be of dtype float32; got {np.dtype(value_type.dtype).name}")
    size = int(value_type.shape[0])
    collect = _collection(clients, size)
    kept = size if aggregator.reference else 0

    @tff.tensorflow.computation
    def initial():
        return collections.OrderedDict(round=tf.constant(0), reference=tf.zeros([kept], tf.float32))

    @tff.federated_computation
    def initialize():
        return tff.federated_eval(initial, tff.SERVER)

    state_type = cast(Any, initialize).type_signature.result.member

    aggregate = tf.function(  # a plain graph would skip its assertions
        lambda *values: _aggregate(aggregator, clients, *values),
        autograph=False,
    ).get_concrete_function(
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([kept]),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None]),
        tf.TensorSpec([None, size]),
    )

    @tff.tensorflow.computation(state_type, collect.type_signature.result.member)
    def apply(state, gathered):
        result, reference = aggregate(
            state["round"],
            state["reference"],
            gathered["count"],
            gathered["weights"],
            gathered["rows"],
        )
        return collections.OrderedDict(round=state["round"] + 1, reference=reference), result

    @tff.tensorflow.computation(weight_type or np.float32)
    def as_float(weight):
        return tf.cast(weight, tf.float32)

    def run(state, value, weight):
        state, result = tff.federated_map(apply, (state, collect(value, weight)))
        return tff.templates.MeasuredProcessOutput(
            state, result, tff.federated_value((), tff.SERVER)
        )

    placed_state = tff.FederatedType(state_type, tff.SERVER)
    placed_value = tff.FederatedType(value_type, tff.CLIENTS)
    if weight_type is None:

        @tff.federated_computation(placed_state, placed_value)
        def advance_unweighted(state, value):
            return run(state, value, tff.federated_value(np.float32(1), tff.CLIENTS))

        advance = advance_unweighted
    else:

        @tff.federated_computation(
            placed_state, placed_value, tff.FederatedType(weight_type, tff.CLIENTS)
        )
        def advance_weighted(state, value, weight):
            return run(state, value, tff.federated_map(as_float, weight))

        advance = advance_weighted

    return tff.templates.AggregationProcess(cast(Any, initialize), cast(Any, advance))


def _collection(clients: int, size: int):
    """Return a federated computation that collects client vectors and weights on the server."""
    vector, weight = tff.TensorType(np.float32, [size]), tff.TensorType(np.float32)
    empty, add, merge, joined = _register(clients, size)

    @tff.federated_computation(
        tff.FederatedType(vector, tff.CLIENTS), tff.FederatedType(weight, tff.CLIENTS)
    )
    def collect(value, weight):
        return tff.federated_aggregate(
            tff.federated_zip((value, weight)), cast(Any, empty)(), add, merge, joined
        )

    return collect


def _register(clients: int, size: int):
    """Return the four computations of an accumulator: empty, add, merge, joined.

    The accumulator is a shift register with one slot per client: a new vector enters at the end
    and the others move up. This passes references, whereas concatenation would copy all vectors
    each time.
    """
    register_type = tff.to_type(
        collections.OrderedDict(
            count=np.int32,
            weights=[tff.TensorType(np.float32, [None])] * clients,
            rows=[tff.TensorType(np.float32, [None, size])] * clients,
        )
    )
    vector, weight = tff.TensorType(np.float32, [size]), tff.TensorType(np.float32)

    def register(count, weights, rows):
        return collections.OrderedDict(count=count, weights=list(weights), rows=list(rows))

    @tff.tensorflow.computation
    def empty():
        return register(tf.constant(0), [tf.zeros([0])] * clients, [tf.zeros([0, size])] * clients)

    @tff.tensorflow.computation(register_type, (vector, weight))
    def add(held, item):
        row, weight = item
        any_rows = tf.compat.v1.placeholder_with_default  # hides that it is one row
        return register(
            held["count"] + 1,
            [*held["weights"][1:], any_rows(weight[None], [None])],
            [*held["rows"][1:], any_rows(row[None], [None, size])],
        )

    @tff.tensorflow.computation(register_type, register_type)
    def merge(left, right):
        rows = tf.concat([*left["rows"], *right["rows"]], axis=0)
        weights = tf.concat([*left["weights"], *right["weights"]], axis=0)
        ends = tf.shape(rows)[0] - tf.range(clients - 1, -1, -1)
        starts, ends = tf.maximum(ends - 1, 0), tf.maximum(ends, 0)
        return register(
            left["count"] + right["count"],
            [weights[starts[k] : ends[k]] for k in range(clients)],
            [rows[starts[k] : ends[k]] for k in range(clients)],
        )

    @tff.tensorflow.computation(register_type)
    def joined(held):
        return collections.OrderedDict(
            count=held["count"],
            weights=tf.concat(held["weights"], axis=0),
            rows=tf.concat(held["rows"], axis=0),
        )

    return empty, add, merge, joined


def _aggregate(aggregator: Aggregator, clients: int, finished, reference, count, weights, rows):
    """Return the aggregate `(d,)` of the collected clients and the reference of the next round.

    The aggregate is zero if no client has a positive weight and a finite update.
    """
    tf.debugging.Assert(
        count <= clients,
        ["clients: a round must have at most", clients, "clients; got", count],
    )
    counted = weights > 0
    rows = tf.where(counted[:, None], rows, np.float32(np.nan))  # dropped, uses up one of the f
    anybody = tf.reduce_any(counted & tf.reduce_all(tf.math.is_finite(rows), axis=1))

    def rule():
        result = aggregator(
            rows,
            weights=weights,
            reference=reference if aggregator.reference else None,
            f=aggregator.f(clients),
            round_number=finished + 1,
        )
        return result, result if aggregator.reference == "previous" else tf.identity(reference)

    return tf.cond(
        anybody, rule, lambda: (tf.zeros([rows.shape[1]], tf.float32), tf.identity(reference))
    )
