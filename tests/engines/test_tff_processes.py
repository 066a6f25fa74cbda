"""TFF computations: what a TFF user expects of them, what travels, and that chunks do not matter."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.vectors import to_vector
from tfunlearn.engines.tff import (
    TFFEngine,
    build_learning_process,
    local_worker,
    mapping,
    serving_worker,
)
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import ServerState
from tfunlearn.models import build_model

tff = pytest.importorskip("tensorflow_federated")
layers = tf.keras.layers
TRAINING = ClientTraining("sgd", lr=0.1, local_epochs=2, batch_size=3)


@pytest.fixture(scope="module", autouse=True)
def worker():
    with local_worker():
        yield


@pytest.fixture
def work():
    return ClientWork(
        tf.keras.Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Conv2D(4, 3),
                layers.BatchNormalization(),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        TRAINING,
    )


def cohort_of(clients):
    return Cohort(1, np.arange(len(clients)), clients, np.ones(len(clients)))


def test_the_learning_process_is_what_a_tff_user_expects(work, small_clients):
    model, process = work.stateless.model, build_learning_process(work)
    assert isinstance(process, tff.learning.templates.LearningProcess)
    data_sets = [
        tf.data.Dataset.from_tensors(client)
        for client in cohort_of(small_clients).tensors(TRAINING, seed=0)
    ]
    output = process.next(process.initialize(), data_sets)
    weights = process.get_model_weights(output.state)
    assert output.metrics["client_work"]["weights"] == 16
    expected, _ = AveragingRounds(work, engine=TFFEngine(), seed=0)(
        ServerState(model.get_weights()), cohort_of(small_clients)
    )
    weights.assign_weights_to(model)
    for a, b in zip(model.get_weights(), expected.weights):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_gathering_in_chunks_changes_nothing(work, small_clients, monkeypatch):
    model = work.stateless.model
    gathering = GatheringRounds(work, engine=TFFEngine(), seed=0)
    whole = gathering.gather(model.get_weights(), cohort_of(small_clients))
    monkeypatch.setattr(mapping, "CHUNK_BYTES", 9 * model.count_params())
    monkeypatch.setattr(mapping, "cores", lambda: 1)
    calls = []
    monkeypatch.setattr(
        mapping,
        "spread",
        lambda function, pieces: calls.extend(pieces) or enumerate(map(function, pieces)),
    )
    parts = gathering.gather(model.get_weights(), cohort_of(small_clients))
    assert [len(piece) for piece in calls] == [2, 1]
    assert whole.stack.tobytes() == parts.stack.tobytes()


@pytest.mark.parametrize(
    "clients, size, cores, workers, expected",
    [
        (3000, 2**18, 2, 1, 32),  # 32 x 256 KiB = 8 MiB
        (80, 45 * 2**20, 4, 1, 4),  # of large updates, one for each core
        (80, 45 * 2**20, 64, 1, 5),  # but at most 256 MiB
        (80, 2**30, 4, 1, 1),
        (3, 2**18, 4, 1, 3),
        (80, 2**18, 4, 4, 7),  # three calls for each of four workers
    ],
)
def test_clients_of_one_call(monkeypatch, clients, size, cores, workers, expected):
    monkeypatch.setattr(mapping, "cores", lambda: cores)
    monkeypatch.setattr(mapping, "worker_count", lambda: workers)
    assert mapping._chunk(clients, size) == expected


def test_what_travels_in_partial_rounds_is_the_selection_alone(work):
    from tfunlearn.federated.partial import _partial_update

    rng = np.random.default_rng(0)
    masks = [
        rng.random(w.shape) < (0.3 if w.trainable else 0) for w in work.stateless.model.weights
    ]
    partial = ClientWork(work.stateless.model, TRAINING, movable=masks, fixed_norms=True)
    start = to_vector(work.stateless.model.get_weights())[: work.trainable_size]
    update = _partial_update(partial, start, np.zeros(work.state_size, np.float32), np.uint8)
    signature = mapping._computation(update).type_signature
    count = sum(int(mask.sum()) for mask in masks)
    assert 0 < count < 0.5 * work.trainable_size
    assert signature.parameter[0].member[0].shape == (count,)
    assert signature.result.member[0].shape == (count,)


def test_bits_do_not_depend_on_the_cores_or_threads_of_a_worker(monkeypatch):
    """One core or all, and 1, 2 or 4 operations at once; one thread inside each, as always."""
    model = build_model("lenet5", (8 * 4, 8 * 4, 1), 10, seed=0)
    rng = np.random.default_rng(0)
    clients = ClientSet(
        rng.integers(0, 256, (90, 32, 32, 1), np.uint8),
        rng.integers(0, 10, 90).astype(np.int32),
        np.array([0, 40, 60, 90]),
    )
    rounds = GatheringRounds(ClientWork(model, TRAINING), engine=TFFEngine(), seed=0)
    cores, found = os.sched_getaffinity(0), []
    for allowed, operations in (({min(cores)}, "1"), (cores, "2"), (cores, "4")):
        monkeypatch.setenv("TF_NUM_INTEROP_THREADS", operations)
        os.sched_setaffinity(0, allowed)
        try:
            with local_worker():
                found.append(rounds.gather(model.get_weights(), cohort_of(clients)).stack.tobytes())
        finally:
            os.sched_setaffinity(0, cores)
    assert found[0] == found[1] == found[2]


def test_two_workers_of_different_thread_counts_give_the_bits_of_one(
    work, small_clients, monkeypatch
):
    rounds, model = GatheringRounds(work, engine=TFFEngine(), seed=0), work.stateless.model
    alone = rounds.gather(model.get_weights(), cohort_of(small_clients)).stack
    with contextlib.ExitStack() as stack:
        addresses = []
        for operations in ("1", "4"):
            monkeypatch.setenv("TF_NUM_INTEROP_THREADS", operations)
            host, port, _ = stack.enter_context(serving_worker("127.0.0.1", 0))
            addresses.append(f"{host}:{port}")
        stack.enter_context(TFFEngine().at_work(workers=addresses))
        together = rounds.gather(model.get_weights(), cohort_of(small_clients)).stack
    assert together.tobytes() == alone.tobytes()
