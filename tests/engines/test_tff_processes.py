"""TFF computations: what a TFF user expects of them, what travels, and that chunks do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.vectors import to_vector
from tfunlearn.engines.tff import TFFEngine, build_learning_process, local_worker, mapping
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import ServerState

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
    calls = []
    monkeypatch.setattr(
        mapping,
        "spread",
        lambda function, pieces: calls.extend(pieces) or enumerate(map(function, pieces)),
    )
    parts = gathering.gather(model.get_weights(), cohort_of(small_clients))
    assert [len(piece) for piece in calls] == [2, 1]
    assert whole.stack.tobytes() == parts.stack.tobytes()


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
