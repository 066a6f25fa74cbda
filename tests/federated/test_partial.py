"""Partial rounds: unselected weights keep their bits, traffic is small, the mean is unweighted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.vectors import to_vector
from tfunlearn.federated import PartialRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.optimizers import OPTIMIZERS
from tfunlearn.local_training.state import ServerState

layers = tf.keras.layers
SIZES = (30, 7, 16)


def small_model(decay=1e-2):
    regular = tf.keras.regularizers.L2(decay) if decay else None
    inputs = layers.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, kernel_regularizer=regular)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    outputs = layers.Dense(3, kernel_regularizer=regular)(x)
    model = tf.keras.Model(inputs, outputs)
    rng = np.random.default_rng(3)
    model.set_weights(
        [(w + rng.uniform(0.1, 0.3, w.shape)).astype("f") for w in model.get_weights()]
    )
    return model


def cohort_of(ids=(0, 1, 2), seed=0):
    rng, total = np.random.default_rng(seed), sum(SIZES)
    clients = ClientSet(
        rng.integers(0, 256, (total, 6, 6, 1), np.uint8),
        rng.integers(0, 3, total).astype(np.int32),
        np.concatenate([[0], np.cumsum(SIZES)]),
    )
    return Cohort(1, np.array(ids), clients, np.ones(len(ids)))


def selected(model, seed=0):
    """Return a mask of about a third of the trainable weights, and the weights with signed zeros
    outside."""
    rng = np.random.default_rng(seed)
    masks = [rng.random(w.shape) < (0.3 if w.trainable else 0) for w in model.weights]
    weights = model.get_weights()
    for mask, weight in zip(masks, weights):
        weight.reshape(-1)[~mask.reshape(-1)] *= rng.choice(
            np.array([1, -0.0, 0.0], np.float32), (~mask).sum()
        )
    if not all((w >= 0).all() for w in weights[5:6]):  # a variance must not be negative
        weights[5] = np.abs(weights[5])
    return masks, weights


def bits(weights):
    return to_vector(weights).view(np.uint32)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "fisher"])
@pytest.mark.parametrize("on_server", [False, True])
def test_everything_outside_the_selection_keeps_its_bits(engine, optimizer, on_server):
    model = small_model()
    masks, weights = selected(model)
    work = ClientWork(model, ClientTraining(optimizer, 0.05, 2, 8), movable=masks, fixed_norms=True)
    rounds = PartialRounds(work, weights, engine=engine, seed=1, on_server=on_server)
    state = ServerState(weights)
    for number in (1, 2):
        cohort = cohort_of((0,) if on_server else (0, 1, 2))
        state, report = rounds(state, dataclasses.replace(cohort, round_number=number))
    inside = np.concatenate([mask.reshape(-1) for mask in masks])
    before, after = bits(weights), bits(state.weights)
    assert (before[~inside] == after[~inside]).all()
    assert (before[inside] != after[inside]).mean() > 0.9
    assert report.train_loss > 0 and not report.dropped and state.finished == 2


def test_the_mean_does_not_weigh_by_examples(engine):
    model = small_model()
    masks, weights = selected(model)
    work = ClientWork(model, ClientTraining("adam", 0.01, 2, 8), movable=masks, fixed_norms=True)
    rounds = PartialRounds(work, weights, engine=engine, seed=1)
    alone = [rounds(ServerState(weights), cohort_of((k,)))[0].weights for k in range(3)]
    together, _ = rounds(ServerState(weights), cohort_of())
    start = to_vector(weights)
    moves = np.stack([to_vector(each) - start for each in alone])
    np.testing.assert_allclose(to_vector(together.weights) - start, moves.mean(axis=0), atol=2e-7)


def test_server_and_client_train_alike(engine):
    model = small_model()
    masks, weights = selected(model)
    work = ClientWork(model, ClientTraining("sgd", 0.05, 2, 8), movable=masks, fixed_norms=True)
    got = [
        PartialRounds(work, weights, engine=engine, seed=1, on_server=here)(
            ServerState(weights), cohort_of((1,))
        )[0].weights
        for here in (False, True)
    ]
    np.testing.assert_allclose(to_vector(got[0]), to_vector(got[1]), atol=1e-6)


def test_one_step_is_a_masked_gradient_with_fixed_norms(engine):
    model = small_model()
    model.layers[-2].rate = 0.0  # dropout is random
    masks = [np.random.default_rng(0).random(w.shape) < 0.3 for w in model.weights]
    weights = model.get_weights()
    cohort = cohort_of((1,))
    work = ClientWork(model, ClientTraining("sgd", 0.1, 1, 100), movable=masks, fixed_norms=True)
    got, _ = PartialRounds(work, weights, engine=engine, seed=1)(ServerState(weights), cohort)
    rows = cohort.clients.rows(1)
    model.set_weights(weights)
    with tf.GradientTape() as tape:
        outputs = model(cohort.clients.features[rows].astype(np.float32) / 255, training=False)
        loss = tf.reduce_mean(
            tf.keras.losses.sparse_categorical_crossentropy(
                cohort.clients.labels[rows], outputs, from_logits=True
            )
        ) + sum(model.losses)
    slopes = dict(
        zip((id(w) for w in model.trainable_weights), tape.gradient(loss, model.trainable_weights))
    )
    for variable, mask, before, after in zip(model.weights, masks, weights, got.weights):
        slope = slopes[id(variable)].numpy() if variable.trainable else 0
        np.testing.assert_allclose(after, before - 0.1 * mask * slope, atol=1e-6)


def test_clients_without_finite_updates_are_dropped(engine):
    model = small_model()
    masks, weights = selected(model)
    work = ClientWork(model, ClientTraining("sgd", 0.05, 1, 8), movable=masks, fixed_norms=True)
    cohort = cohort_of()
    bad = dataclasses.replace(
        cohort.clients, features=cohort.clients.features.astype(np.float32) / 255
    )
    bad.features[bad.rows(1)] = np.nan
    rounds = PartialRounds(work, weights, engine=engine, seed=1, feature_dtype=np.float32)
    state, report = rounds(ServerState(weights), dataclasses.replace(cohort, clients=bad))
    assert report.dropped == (1,) and np.isfinite(to_vector(state.weights)).all()
    lost = dataclasses.replace(cohort, clients=bad, ids=np.array([1]), boosts=np.ones(1))
    state, report = rounds(ServerState(weights), lost)
    assert report.train_loss is None and (bits(state.weights) == bits(weights)).all()


def test_an_adversary_crafts_partial_updates(engine):
    model = small_model()
    masks, weights = selected(model)
    work = ClientWork(model, ClientTraining("sgd", 0.05, 1, 8), movable=masks, fixed_norms=True)
    seen = []

    def flip(stack, ids, vector, number, *, dropped, reference):
        seen.append((stack.shape, vector.shape, number, dropped))
        return np.where((ids == 2)[:, None], -stack, stack), np.array([2])

    plain = PartialRounds(work, weights, engine=engine, seed=1)
    attacked = PartialRounds(work, weights, engine=engine, seed=1, adversary=flip)
    alone = [to_vector(plain(ServerState(weights), cohort_of((k,)))[0].weights) for k in range(3)]
    state, report = attacked(ServerState(weights), cohort_of())
    start, count = to_vector(weights), plain.entries
    assert report.crafted == (2,) and seen == [((3, count), (count,), 1, 0)]
    expected = ((alone[0] - start) + (alone[1] - start) - (alone[2] - start)) / 3
    np.testing.assert_allclose(to_vector(state.weights) - start, expected, atol=2e-7)
