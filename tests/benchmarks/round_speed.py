"""One federated round against two yardsticks, alternating in one run; prints medians and ratios.

80 clients x 100 images 28x28x1, LeNet-5, 2 local epochs, batch 32, Adam 1e-3, warm rounds.

    ours    the round of `tfunlearn train --attack label-flip --defense flap`, pruning every round
    gather  the same with every update gathered on the server
    (a)     tff.learning.algorithms.build_weighted_fed_avg with data sets, as in TFF's tutorials
    (b)     a plain tf.map_fn over clients in one tf.function, no federation, attack or defence
"""

from __future__ import annotations

import argparse
import collections
import statistics
import time

import numpy as np

from tfunlearn.attacks import label_flip, poison
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.lazy import tf, tff
from tfunlearn.core.schedules import every
from tfunlearn.defenses import Flap
from tfunlearn.engines.tff import local_worker
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import ServerState
from tfunlearn.models import build_model

CLIENTS, EXAMPLES, MALICIOUS = 80, 100, 16
TRAINING = ClientTraining(optimizer="adam", lr=1e-3, local_epochs=2, batch_size=32)


def client_set() -> ClientSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CLIENTS * EXAMPLES, 28, 28, 1), dtype=np.uint8)
    labels = rng.integers(0, 10, CLIENTS * EXAMPLES).astype(np.int32)
    return ClientSet(images, labels, np.arange(CLIENTS + 1) * EXAMPLES)


def our_round(face, clients: ClientSet):
    model = build_model("lenet5", (28, 28, 1), 10)
    run = face(ClientWork(model, TRAINING), seed=0, flap=Flap(model, due=every(1)))
    poisoned = poison(
        clients,
        np.arange(MALICIOUS),
        lambda client, images, labels: (images, label_flip(labels, source=1, target=7)),
    )
    state, number = ServerState(model.get_weights()), 0

    def one_round():
        nonlocal state, number
        number += 1
        cohort = Cohort(number, np.arange(CLIENTS), poisoned, np.ones(CLIENTS))
        state, _ = run(state, cohort)

    return one_round


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
        images = clients.images[rows].astype(np.float32) / 255
        return (
            tf.data.Dataset.from_tensor_slices(
                collections.OrderedDict(x=images, y=clients.labels[rows])
            )
            .shuffle(EXAMPLES, seed=client)
            .repeat(TRAINING.local_epochs)
            .batch(TRAINING.batch_size)
        )

    data_sets = [data_set(client) for client in range(CLIENTS)]
    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=tff.learning.optimizers.build_adam(TRAINING.lr)
    )
    state = process.initialize()

    def one_round():
        nonlocal state
        state = process.next(state, data_sets).state

    return one_round


def map_fn_round(clients: ClientSet):
    """The local steps written by hand on raw tensors and unrolled: the fastest form known."""
    shape = (CLIENTS, EXAMPLES)
    images = tf.constant(clients.images.reshape(*shape, 28, 28, 1).astype(np.float32) / 255)
    labels = tf.constant(clients.labels.reshape(shape))
    weights = [tf.Variable(w) for w in build_model("lenet5", (28, 28, 1), 10).get_weights()]
    per_epoch = -(-EXAMPLES // TRAINING.batch_size)

    def logits(w, x):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, w[0], 1, "VALID") + w[1]), 2, 2, "VALID")
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, w[2], 1, "VALID") + w[3]), 2, 2, "VALID")
        x = tf.nn.relu(tf.reshape(x, [-1, 256]) @ w[4] + w[5])
        return tf.nn.relu(x @ w[6] + w[7]) @ w[8] + w[9]

    def delta(start, x, y, order):
        w = start
        first, second = ([tf.zeros_like(v) for v in start] for _ in range(2))
        for step in range(per_epoch * TRAINING.local_epochs):
            epoch, batch = divmod(step, per_epoch)
            begin = epoch * EXAMPLES + batch * TRAINING.batch_size
            rows = order[begin : min(begin + TRAINING.batch_size, (epoch + 1) * EXAMPLES)]
            with tf.GradientTape() as tape:
                tape.watch(w)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(
                        tf.gather(y, rows), logits(w, tf.gather(x, rows))
                    )
                )
            gradients = tape.gradient(loss, w)
            rate = TRAINING.lr * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
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
        orders = [
            [rng.permutation(EXAMPLES) for _ in range(TRAINING.local_epochs)]
            for _ in range(CLIENTS)
        ]
        one_round(tf.constant(np.array(orders).reshape(CLIENTS, -1), tf.int32))
        weights[0].numpy()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds of each (default 9)")
    rounds = parser.parse_args().rounds
    clients = client_set()
    with local_worker():
        runs = {
            "ours": our_round(AveragingRounds, clients),
            "gather": our_round(GatheringRounds, clients),
            "(a)": vanilla_tff_round(clients),
            "(b)": map_fn_round(clients),
        }
        seconds = {name: [] for name in runs}
        for number in range(rounds + 2):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if number >= 2:
                    seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(
            f"{name:<7} median {median[name]:.3f} s  min {min(values):.3f} s  "
            f"max {max(values):.3f} s"
        )
    for name in ("ours", "gather"):
        print(
            f"{name} / (a) = {median[name] / median['(a)']:.2f}   "
            f"{name} / (b) = {median[name] / median['(b)']:.2f}"
        )


if __name__ == "__main__":
    main()
