"""Two yardsticks: the round as TensorFlow Federated's tutorials and as `tf.map_fn` do it.

Usage: yardsticks.py map_fn|build_weighted_fed_avg lenet5 CLIENTS

    build_weighted_fed_avg  tff.learning.algorithms.build_weighted_fed_avg with data sets
    map_fn                  a plain tf.map_fn over clients in one tf.function; no federation, attack or defense
"""

from __future__ import annotations

import collections
import sys

import numpy as np
from protocol import BATCH, EPOCHS, EXAMPLES, RATE, examples, serve

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.lazy import tf, tff
from tfunlearn.models import build_model

CLIENTS = int(sys.argv[3])


def vanilla_tff_round(clients: ClientSet):
    def model_fn():
        keras_model = build_model("lenet5", (28, 28, 1), 10)
        return tff.learning.models.from_keras_model(
            keras_model,
            input_spec=data_sets[0].element_spec,
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def data_set(client: int):
        rows = clients.rows(client)
        images = clients.features[rows].astype(np.float32) / 255
        return (
            tf.data.Dataset.from_tensor_slices(
                collections.OrderedDict(x=images, y=clients.labels[rows])
            )
            .shuffle(EXAMPLES, seed=client)
            .repeat(EPOCHS)
            .batch(BATCH)
        )

    data_sets = [data_set(client) for client in range(CLIENTS)]
    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=tff.learning.optimizers.build_adam(RATE)
    )
    state = process.initialize()

    def one_round():
        nonlocal state
        state = process.next(state, data_sets).state

    return one_round


def map_fn_round(clients: ClientSet):
    """The local steps written by hand on raw tensors and unrolled: the fastest form known."""
    shape = (CLIENTS, EXAMPLES)
    images = tf.constant(clients.features.reshape(*shape, 28, 28, 1).astype(np.float32) / 255)
    labels = tf.constant(clients.labels.reshape(shape))
    weights = [tf.Variable(w) for w in build_model("lenet5", (28, 28, 1), 10).get_weights()]
    per_epoch = -(-EXAMPLES // BATCH)

    def logits(w, x):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, w[0], 1, "VALID") + w[1]), 2, 2, "VALID")
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, w[2], 1, "VALID") + w[3]), 2, 2, "VALID")
        x = tf.nn.relu(tf.reshape(x, [-1, 256]) @ w[4] + w[5])
        return tf.nn.relu(x @ w[6] + w[7]) @ w[8] + w[9]

    def delta(start, x, y, order):
        w = start
        first, second = ([tf.zeros_like(v) for v in start] for _ in range(2))
        for step in range(per_epoch * EPOCHS):
            epoch, batch = divmod(step, per_epoch)
            begin = epoch * EXAMPLES + batch * BATCH
            rows = order[begin : min(begin + BATCH, (epoch + 1) * EXAMPLES)]
            with tf.GradientTape() as tape:
                tape.watch(w)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(
                        tf.gather(y, rows), logits(w, tf.gather(x, rows))
                    )
                )
            gradients = tape.gradient(loss, w)
            rate = RATE * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
            first = [m + 0.1 * (g - m) for m, g in zip(first, gradients)]
            second = [v + 0.001 * (g * g - v) for v, g in zip(second, gradients)]
            w = [p - rate * m / (tf.sqrt(v) + 1e-7) for p, m, v in zip(w, first, second)]
        return [new - old for new, old in zip(w, start)]

    @tf.function
    def one_round(orders):
        start = [tf.convert_to_tensor(w) for w in weights]
        deltas = tf.map_fn(
            lambda client: delta(start, *client),
            (images, labels, orders),
            fn_output_signature=[tf.TensorSpec(w.shape) for w in weights],
        )
        for weight, change in zip(weights, deltas):
            weight.assign_add(tf.reduce_mean(change, axis=0))

    rng = np.random.default_rng(1)

    def run():
        orders = [[rng.permutation(EXAMPLES) for _ in range(EPOCHS)] for _ in range(CLIENTS)]
        one_round(tf.constant(np.array(orders).reshape(CLIENTS, -1), tf.int32))
        weights[0].numpy()

    return run


images, labels = examples(CLIENTS, (28, 28, 1))
clients = ClientSet(images, labels, np.arange(CLIENTS + 1) * EXAMPLES)
serve({"map_fn": map_fn_round, "build_weighted_fed_avg": vanilla_tff_round}[sys.argv[1]](clients))
