"""The baselines' rules: by hand, by brute force, inputs untouched."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.core.history import HistoryRound
from tfunlearn.unlearning import (
    ascend,
    calibrate,
    calibration_epochs,
    fedrecovery,
    kernels_of,
    negate,
    noise_deviation,
    trust_radius,
)

layers = tf.keras.layers


def rounds_of(rng, count, clients, size):
    return [
        HistoryRound(
            n + 1,
            [np.zeros(size, np.float32)],
            np.arange(clients),
            rng.normal(size=(clients, size)).astype(np.float32),
            rng.integers(1, 9, clients),
        )
        for n in range(count)
    ]


def test_negation():
    weights = [np.array([[1.0, -2.0]], np.float32), np.array([3.0], np.float32)]
    got = negate(weights, places=[0])
    np.testing.assert_array_equal(got[0], [[-1, 2]])
    np.testing.assert_array_equal(got[1], [3])
    got[1][0] = 7
    assert weights[1][0] == 3 and weights[0][0, 0] == 1
    for places in ([], [2], [-1]):
        with pytest.raises(UserError, match="from 0 to 1; got"):
            negate(weights, places=places)


def test_calibration_by_hand():
    # two arrays of sizes 2 and 1: lengths 5 and 2 of the old, directions of the new
    stored = np.array([[3.0, 4.0, -2.0], [0.0, 1.0, 1.0]], np.float32)
    fresh = np.array([[0.0, 2.0, 1.0], [0.0, 0.0, -4.0]], np.float32)
    np.testing.assert_allclose(
        calibrate(stored, fresh, [(2,), (1,)]), [[0, 5, 2], [0, 0, -1]], rtol=1e-6
    )
    with pytest.raises(UserError, match="shape"):
        calibrate(stored, fresh[:1], [(2,), (1,)])


def test_calibration_keeps_lengths_and_directions(rng):
    stored, fresh = (rng.normal(size=(6, 20)).astype(np.float32) for _ in range(2))
    got, first = calibrate(stored, fresh, [(3, 4), (2,), (6,)]), 0
    for size in (12, 2, 6):
        part = slice(first, first + size)
        for row in range(6):
            assert np.linalg.norm(got[row, part]) == pytest.approx(
                np.linalg.norm(stored[row, part]), rel=1e-5
            )
            cosine = (
                got[row, part]
                @ fresh[row, part]
                / np.linalg.norm(got[row, part])
                / np.linalg.norm(fresh[row, part])
            )
            assert cosine == pytest.approx(1, abs=1e-6)
        first += size


@pytest.mark.parametrize(
    "epochs, ratio, expected", [(2, 0.5, 1), (3, 0.5, 2), (1, 0.5, 1), (10, 0.3, 3), (5, 1.0, 5)]
)
def test_calibration_epochs(epochs, ratio, expected):
    assert calibration_epochs(epochs, ratio) == expected


def test_recovery_by_hand():
    # one weight, one round, updates 4 (forgotten), 1, 1: the mean 2 becomes 1
    history = [
        HistoryRound(
            1,
            [np.zeros(1, np.float32)],
            np.array([5, 6, 7]),
            np.array([[4.0], [1.0], [1.0]], np.float32),
            np.array([1, 1, 1]),
        )
    ]
    (got,) = fedrecovery([np.array([10.0], np.float32)], history, forgotten=[5])
    assert got.tolist() == [9.0]
    # weights 2, 1, 1: mean 2.5
    history[0].examples[0] = 2
    (got,) = fedrecovery([np.array([10.0], np.float32)], history, forgotten=[5])
    assert got.tolist() == [8.5]
    (got,) = fedrecovery([np.array([10.0], np.float32)], history, forgotten=[5], average="uniform")
    assert got.tolist() == [9.0]


def test_recovery_is_the_papers_formula_for_one_client(rng):
    history, n, u = rounds_of(rng, 7, 5, 4), 5, 2
    w = rng.normal(size=4).astype(np.float32)
    squared = [float(np.sum(h.updates.astype(float).mean(axis=0) ** 2)) for h in history]
    expected = w.astype(float)
    for h, norm in zip(history, squared):
        others = sum(h.updates[j].astype(float) for j in range(n) if j != u) / (n - 1)
        expected = expected + norm / sum(squared) / n * (others - h.updates[u])
    (got,) = fedrecovery([w], history, forgotten=[u], average="uniform")
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_rounds_without_updates_or_without_others(rng):
    (one,) = rounds_of(rng, 1, 3, 4)
    empty = HistoryRound(
        2, one.weights, np.zeros(0, int), np.zeros((0, 4), np.float32), np.zeros(0, int)
    )
    w = [np.zeros(4, np.float32)]
    np.testing.assert_array_equal(
        fedrecovery(w, [one, empty], forgotten=[0])[0], fedrecovery(w, [one], forgotten=[0])[0]
    )
    assert not fedrecovery(w, [empty], forgotten=[0])[0].any()
    alone = HistoryRound(2, one.weights, np.array([0]), 3 * one.updates[:1], np.array([1]))
    size = [
        float(np.sum(np.average(h.updates.astype(float), axis=0, weights=h.examples) ** 2))
        for h in (one, alone)
    ]
    np.testing.assert_allclose(
        fedrecovery(w, [one, alone], forgotten=[0])[0],
        fedrecovery(w, [one], forgotten=[0])[0] * size[0] / sum(size),
        rtol=1e-4,
    )


def test_recovery_noise_and_refusals(rng):
    history, w = rounds_of(rng, 2, 3, 2000), [np.zeros(2000, np.float32)]
    calm = fedrecovery(w, history, forgotten=[0])[0]
    noisy = fedrecovery(w, history, forgotten=[0], noise=0.5, rng=np.random.default_rng(1))[0]
    assert np.std(noisy - calm) == pytest.approx(0.5, rel=0.1)
    spared = fedrecovery(
        w, history, forgotten=[0], noise=0.5, noisy=[], rng=np.random.default_rng(1)
    )[0]
    np.testing.assert_array_equal(spared, calm)
    with pytest.raises(UserError, match="a generator"):
        fedrecovery(w, history, forgotten=[0], noise=0.5)
    with pytest.raises(UserError, match="every round"):
        fedrecovery(w, [], forgotten=[0])
    with pytest.raises(UserError, match="average"):
        fedrecovery(w, history, forgotten=[0], average="median")
    root = math.sqrt(math.log(100))
    assert noise_deviation(2.0, 1.0, 0.01) == pytest.approx(
        math.sqrt(2) / (math.sqrt(math.log(100) + 1) - root)
    )
    with pytest.raises(UserError, match="beta"):
        noise_deviation(1, 1, 1)


def test_the_radius_by_hand():
    center = [np.array([1.0, 2.0], np.float32)]
    models = [[np.array([1.0, 5.0], np.float32)], [np.array([4.0, 2.0], np.float32)]]
    assert trust_radius(center, models) == pytest.approx(math.sqrt(3))  # (9 + 9) / 2 / 3


def linear():
    model = tf.keras.Sequential(
        [layers.Input((2, 1, 1)), layers.Flatten(), layers.Dense(2, use_bias=False)]
    )
    return model, [np.zeros((2, 2), np.float32)]


def test_a_step_of_ascent_by_hand():
    # one example (1, 0) of class 0, zero weights: p = (.5, .5), gradient of the loss on row 0 is
    # (-.5, .5); ascent moves along it by lr
    model, start = linear()
    images = np.array([[[[1.0]], [[0.0]]]], np.float32)
    up = ascend(
        model,
        start,
        images,
        np.array([0], np.int32),
        radius=10,
        lr=0.1,
        epochs=1,
        forget_accuracy=0,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(up.weights[0], [[-0.05, 0.05], [0, 0]], atol=1e-7)
    assert up.steps == 1 and up.distance == pytest.approx(0.05 * math.sqrt(2))
    # the second step has momentum 0.9 and a slightly larger gradient
    two = ascend(
        model,
        start,
        images,
        np.array([0], np.int32),
        radius=10,
        lr=0.1,
        epochs=2,
        forget_accuracy=0,
        rng=np.random.default_rng(0),
    )
    p = 1 / (1 + math.exp(-0.1))
    assert two.weights[0][0, 1] == pytest.approx(0.05 + 0.1 * (0.9 * 0.5 + p), rel=1e-5)
    short = ascend(
        model,
        start,
        images,
        np.array([0], np.int32),
        radius=10,
        lr=0.1,
        epochs=1,
        clip=0.1,
        forget_accuracy=0,
        rng=np.random.default_rng(0),
    )
    assert np.linalg.norm(short.weights[0]) == pytest.approx(0.01, rel=1e-5)


def test_the_ascent_stays_in_the_ball_and_stops_when_forgotten(rng):
    model, start = linear()
    start = [np.array([[5.0, -5.0], [-5.0, 5.0]], np.float32)]
    images = rng.random((40, 2, 1, 1)).astype(np.float32)
    labels = (images[:, 1, 0, 0] > images[:, 0, 0, 0]).astype(np.int32)
    model.set_weights([np.full((2, 2), 3.0, np.float32)])
    held = ascend(
        model,
        start,
        images,
        labels,
        radius=0.25,
        lr=1.0,
        batch_size=8,
        epochs=3,
        forget_accuracy=0,
        rng=np.random.default_rng(0),
    )
    assert held.distance == pytest.approx(0.25) and held.steps == 15
    assert np.linalg.norm(held.weights[0] - start[0]) == pytest.approx(0.25, rel=1e-5)
    assert (model.get_weights()[0] == 3).all()  # it is set back
    free = ascend(
        model,
        start,
        images,
        labels,
        radius=1e3,
        lr=1.0,
        batch_size=8,
        epochs=50,
        forget_accuracy=0.12,
        rng=np.random.default_rng(0),
    )
    assert free.steps < 250 and free.accuracy < 0.12
    again = ascend(
        model,
        start,
        images,
        labels,
        radius=1e3,
        lr=1.0,
        batch_size=8,
        epochs=50,
        forget_accuracy=0.12,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_array_equal(again.weights[0], free.weights[0])


def test_the_ascent_draws_nothing_and_keeps_moving_statistics(rng):
    model = tf.keras.Sequential(
        [
            layers.Input((2, 2, 1)),
            layers.Flatten(),
            layers.Dense(6),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )
    images, labels = rng.random((8, 2, 2, 1)).astype(np.float32), np.arange(8, dtype=np.int32) % 2
    first, second = (
        ascend(
            model,
            model.get_weights(),
            images,
            labels,
            radius=9,
            epochs=2,
            forget_accuracy=0,
            rng=np.random.default_rng(4),
        )
        for _ in range(2)
    )
    for a, b in zip(first.weights, second.weights):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.weights[4], np.zeros(6))
    np.testing.assert_array_equal(first.weights[5], np.ones(6))


@pytest.mark.parametrize(
    "values, field",
    [
        (dict(radius=0), "radius"),
        (dict(lr=-1), "lr"),
        (dict(epochs=0), "epochs"),
        (dict(images=np.zeros((0, 2, 1, 1))), "images"),
    ],
)
def test_ascent_refusals(values, field):
    model, start = linear()
    knobs = dict(
        images=np.zeros((1, 2, 1, 1), np.float32),
        labels=np.zeros(1, np.int32),
        radius=1,
        rng=np.random.default_rng(0),
    )
    knobs |= values
    with pytest.raises(UserError, match=field):
        ascend(model, start, knobs.pop("images"), knobs.pop("labels"), **knobs)


def test_kernels_are_found_by_class():
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="embedding_conv")(inputs)
    x = layers.BatchNormalization(name="dense_norm")(x)
    x = layers.SeparableConv2D(5, 3)(x)
    x = layers.DepthwiseConv2D(2)(x)
    x = layers.Conv2DTranspose(3, 2)(x)
    x = layers.Dense(6)(layers.Flatten()(x))
    model = tf.keras.Model(inputs, layers.Dense(2, use_bias=False)(x))
    shapes = [tuple(model.weights[place].shape) for place in kernels_of(model)]
    assert shapes == [
        (3, 3, 3, 4),
        (3, 3, 4, 1),
        (1, 1, 4, 5),
        (2, 2, 5, 1),
        (2, 2, 3, 5),
        (48, 6),
        (6, 2),
    ]
    assert len(kernels_of(model, convolutions_only=True)) == 5
    words = tf.keras.Sequential(
        [layers.Input((4,)), layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)]
    )
    assert [tuple(words.weights[n].shape) for n in kernels_of(words)] == [(12, 2)]
    outer = tf.keras.Sequential([layers.Input((4,)), words, layers.Dense(3)])
    assert [tuple(outer.weights[n].shape) for n in kernels_of(outer)] == [(12, 2), (2, 3)]
