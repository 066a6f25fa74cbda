"""TFF learning process for federated averaging, with this package's local training and FLAP."""

from __future__ import annotations

import collections
from typing import Any, cast

import numpy as np

from tfunlearn.core.lazy import tf, tff
from tfunlearn.core.vectors import tensors_from_vector, vector_from_tensors
from tfunlearn.engines.tff.types import client_type
from tfunlearn.local_training.client_work import ClientWork
from tfunlearn.local_training.weight_order import WeightOrder


def build_learning_process(
    work: ClientWork,
    *,
    feature_dtype=np.uint8,
    aggregator=None,
    after_aggregation=None,
    equal_weights: bool = False,
) -> tff.learning.templates.LearningProcess:
    """Build a `tff.learning.templates.LearningProcess` that runs `ClientWork` on the clients.

    A client's data set is a sequence of one element, the client's tensors (see `ClientWork`).
    Updates cover both trainable weights and moving statistics. A client whose update is not
    finite gets weight zero, and its id is listed in the metrics.

    Args:
        work: the local training.
        feature_dtype: dtype of the images, uint8 (default) or float32.
        aggregator: a `tff.aggregators.WeightedAggregationFactory`, such as one returned by
            `rule_factory`; default weighted mean.
        after_aggregation: function `(round, weights) -> (weights, report)` on tensors, in the
            order of `model.get_weights()`, run on the server after each aggregation (FLAP);
            `report` is a flat dict of tensors, included in the metrics as `finalizer`.
        equal_weights: weight all clients equally; default False, weight by number of examples.

    Returns:
        The process. Its metrics `client_work` hold `loss_sum` (sum of losses times weights),
        `weights` (sum of the weights) and `dropped` (client ids).
    """
    factory = cast(Any, aggregator or tff.aggregators.MeanFactory(no_nan_division=True))
    weights_type = _weights_type(work)
    initial = [np.asarray(w) for w in work.stateless.model.get_weights()]
    split = WeightOrder(work.stateless.model)

    @tff.tensorflow.computation
    def initial_weights():
        return to_model_weights(split, [tf.constant(w) for w in initial])

    return tff.learning.templates.compose_learning_process(
        cast(Any, initial_weights),
        tff.learning.templates.build_broadcast_process(weights_type),
        _client_work_process(work, weights_type, feature_dtype, equal_weights),
        factory.create(weights_type, tff.TensorType(np.float32)),
        _finalizer(weights_type, work.stateless.model, split, after_aggregation),
    )


def fed_by_tensors(process, work: ClientWork, feature_dtype=np.uint8):
    """Return `process`, changed to take clients as tensors instead of data sets (faster)."""

    @tff.tensorflow.computation(client_type(work.client_spec(feature_dtype)))
    def data_set(client):
        return tf.data.Dataset.from_tensors(client)

    return tff.simulation.compose_dataset_computation_with_iterative_process(
        cast(Any, data_set), process
    )


def to_model_weights(order: WeightOrder, weights: list) -> tff.learning.models.ModelWeights:
    """Return TFF's pair of weight lists from a list in model order."""
    return tff.learning.models.ModelWeights(*order.split(weights))


def _weights_type(work: ClientWork):
    return tff.types.tensorflow_to_type(
        tff.learning.models.ModelWeights(
            trainable=[tf.TensorSpec(s, tf.float32) for s in work.stateless.trainable_shapes],
            non_trainable=[tf.TensorSpec(s, tf.float32) for s in work.stateless.state_shapes],
        )
    )


def _client_work_process(work: ClientWork, weights_type, feature_dtype, equal_weights: bool):
    traced = work.trace(feature_dtype)
    shapes = work.stateless
    data_type = tff.SequenceType(client_type(work.client_spec(feature_dtype)))

    @tff.tensorflow.computation(weights_type, data_type)
    def train(weights, data):
        client = data.get_single_element()
        delta, state_delta, finite, loss = traced(
            vector_from_tensors(list(weights.trainable)),
            vector_from_tensors(list(weights.non_trainable)),
            client,
        )
        share = 1.0 if equal_weights else tf.cast(tf.shape(client["labels"])[0], tf.float32)
        weight = tf.where(finite, share, 0.0)
        update = tff.learning.models.ModelWeights(
            tensors_from_vector(delta, shapes.trainable_shapes),
            tensors_from_vector(state_delta, shapes.state_shapes),
        )
        dropped = tf.boolean_mask(client["id"][None], tf.logical_not(finite)[None])
        return tff.learning.templates.ClientResult(update, weight), loss * weight, dropped

    ids_type = tff.TensorType(np.int32, [None])

    @tff.tensorflow.computation
    def no_clients():
        return tf.zeros([0], tf.int32)

    @tff.tensorflow.computation(ids_type, ids_type)
    def join(left, right):
        return tf.concat([left, right], axis=0)

    @tff.tensorflow.computation(ids_type)
    def same(ids):
        return ids

    @tff.federated_computation
    def initialize():
        return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(
        cast(Any, initialize).type_signature.result,
        tff.FederatedType(weights_type, tff.CLIENTS),
        tff.FederatedType(data_type, tff.CLIENTS),
    )
    def advance(state, weights, data):
        result, loss, dropped = tff.federated_map(train, (weights, data))
        metrics = tff.federated_zip(
            collections.OrderedDict(
                dropped=tff.federated_aggregate(dropped, cast(Any, no_clients)(), join, join, same),
                loss_sum=tff.federated_sum(loss),
                weights=tff.federated_sum(result.update_weight),
            )
        )
        return tff.templates.MeasuredProcessOutput(state, result, metrics)

    return tff.learning.templates.ClientWorkProcess(cast(Any, initialize), cast(Any, advance))


def _finalizer(weights_type, model, split: WeightOrder, after_aggregation):
    if after_aggregation is not None:  # traced here, where == between tensors is elementwise
        specs = [tf.TensorSpec(w.shape, w.dtype) for w in model.weights]
        traced = tf.function(after_aggregation, autograph=False).get_concrete_function(
            tf.TensorSpec([], tf.int32), specs
        )

    @tff.tensorflow.computation(np.int32, weights_type, weights_type)
    def apply(finished, weights, update):
        new = tf.nest.map_structure(tf.add, split.to_list(weights), split.to_list(update))
        report = collections.OrderedDict()
        if after_aggregation is not None:
            new, report = traced(finished + 1, *new)
        return finished + 1, to_model_weights(split, new), collections.OrderedDict(report)

    @tff.federated_computation
    def initialize():
        return tff.federated_value(0, tff.SERVER)

    placed = tff.FederatedType(weights_type, tff.SERVER)

    @tff.federated_computation(cast(Any, initialize).type_signature.result, placed, placed)
    def advance(finished, weights, update):
        finished, weights, report = tff.federated_map(apply, (finished, weights, update))
        return tff.templates.MeasuredProcessOutput(finished, weights, report)

    return tff.learning.templates.FinalizerProcess(cast(Any, initialize), cast(Any, advance))
