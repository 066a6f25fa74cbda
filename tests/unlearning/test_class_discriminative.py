"""CDP's scores by hand, means over clients, which channels go; and wrong labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.unlearning import (
    ClassActivations,
    discriminative_channels,
    mean_over_clients,
    tf_idf,
    wrong_labels,
)

layers = tf.keras.layers


def test_tf_idf_by_hand():
    # rows: classes; means over channels 2, 2, 2
    activations = np.array([[4.0, 1, 1], [1, 4, 1], [1, 2, 3]])
    # at least the row's mean: channel 0 for class 0; channel 1 for 1 and 2; channel 2 for class 2
    once, twice = math.log(4 / 2), math.log(4 / 3)
    np.testing.assert_allclose(
        tf_idf(activations),
        np.array(
            [
                [4 * once, 1 * twice, 1 * once],
                [1 * once, 4 * twice, 1 * once],
                [1 * once, 2 * twice, 3 * once],
            ]
        )
        / 6,
        rtol=1e-12,
    )


def test_the_threshold_is_the_class_mean_over_channels():
    # by the channel's mean over classes (public forks) class 1 would count for channel 0, too
    activations = np.array([[5.0, 9.0], [4.0, 1.0], [0.0, 1.0]])
    idf = np.log(4 / (1 + np.array([1, 2])))  # channel 0: class 1; channel 1: classes 0 and 2
    np.testing.assert_allclose(tf_idf(activations)[0], np.array([5 / 14, 9 / 14]) * idf, rtol=1e-12)


def test_a_class_that_nobody_holds_is_no_class():
    activations = np.array([[4.0, 1, 1], [1, 4, 1], [1, 2, 3]])
    wider = np.insert(activations, 1, np.nan, axis=0)
    scores = tf_idf(wider)
    assert np.isnan(scores[1]).all()
    np.testing.assert_array_equal(scores[[0, 2, 3]], tf_idf(activations))
    assert (tf_idf(np.zeros((2, 3))) == 0).all()


def test_a_means_over_clients_that_hold_the_class():
    nan = np.nan
    got = mean_over_clients(
        [
            {"a": np.array([[1.0, 2], [nan, nan], [nan, nan]])},
            {"a": np.array([[3.0, 6], [5, 7], [nan, nan]])},
        ]
    )
    np.testing.assert_array_equal(got["a"], [[2, 4], [5, 7], [nan, nan]])


def test_activations_equal_a_plain_computation():
    inputs = layers.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, activation="tanh", name="one")(inputs)
    x = layers.Conv2D(4, 3, name="two")(layers.BatchNormalization()(x))
    model = tf.keras.Model(inputs, layers.Dense(3, name="scores")(layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    images, labels = rng.random((17, 6, 6, 1)).astype(np.float32), rng.integers(0, 2, 17)
    got = ClassActivations(model, batch_size=5)(images, labels, 3)
    assert list(got) == ["one", "two"]
    for name in got:
        outputs = tf.keras.Model(inputs, model.get_layer(name).output)(images).numpy()
        pooled = np.maximum(outputs, 0).mean(axis=(1, 2))
        expected = [pooled[labels == label].mean(axis=0) for label in (0, 1)]
        np.testing.assert_allclose(got[name][:2], expected, rtol=1e-5)
        assert np.isnan(got[name][2]).all()


ACTIVATIONS = {
    "a": np.array([[4.0, 1, 1, 1], [1, 4, 1, 1], [1, 1, 4, 3]]),
    "b": np.array([[1.0, 1], [1, 2], [1, 3]]),
}


def test_which_channels_go():
    # class 0, layer a: (4, 1, 1, 1) / 7 * log 2; layer b: (1, 1) / 2 * (log 2, 0)
    assert {
        k: list(v) for k, v in discriminative_channels(ACTIVATIONS, [0], share=0.2).items()
    } == {"a": [0], "b": [0]}
    assert {
        k: list(v)
        for k, v in discriminative_channels(ACTIVATIONS, [0], share=0.2, scope="model").items()
    } == {"a": [0], "b": [0]}
    assert {
        k: list(v)
        for k, v in discriminative_channels(ACTIVATIONS, [0], share=0.1, scope="model").items()
    } == {"a": [0], "b": []}
    several = discriminative_channels(ACTIVATIONS, [0, 1], share=0.2)
    assert sorted(several["a"]) == [0, 1]


def test_at_least_one_channel_stays():
    kept = discriminative_channels(ACTIVATIONS, [0, 1, 2], share=0.99)
    assert len(kept["a"]) == 3 and len(kept["b"]) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(share=0), "prune_share: .*got 0"),
        (dict(share=1), "prune_share: .*got 1"),
        (dict(scope="net"), "prune_scope: unknown name 'net'"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        discriminative_channels(ACTIVATIONS, [0], **arguments)


def test_a_class_nobody_holds_cannot_go():
    holes = {name: np.insert(a, 1, np.nan, axis=0) for name, a in ACTIVATIONS.items()}
    with pytest.raises(UserError, match="class: .*some client holds; got 1"):
        discriminative_channels(holes, [1])


def test_a_net_without_convolution_is_refused():
    with pytest.raises(UserError, match="with a convolution, for cdp"):
        ClassActivations(build_model("mlp", (4, 4, 1), 3, seed=0))


def test_wrong_labels_are_wrong_and_even():
    labels = np.repeat(np.arange(4), 6000)
    got = wrong_labels(labels, classes=4, rng=np.random.default_rng(0))
    assert got.dtype == np.int32 and (got != labels).all()
    table = np.zeros((4, 4))
    np.add.at(table, (labels, got), 1)
    off = table[~np.eye(4, dtype=bool)]
    assert off.min() > 1800 and off.max() < 2200  # 2000 each, deviation 37


def test_no_example_gets_a_forgotten_class():
    labels = np.repeat([0, 1, 3], 500)  # 1 and 3 are forgotten, 0 is held by a client that leaves
    got = wrong_labels(labels, classes=5, forgotten=[1, 3], rng=np.random.default_rng(1))
    assert set(got[labels != 0]) == {0, 2, 4} and set(got[labels == 0]) == {2, 4}
    assert (
        got == wrong_labels(labels, classes=5, forgotten=[1, 3], rng=np.random.default_rng(1))
    ).all()


def test_where_no_wrong_label_is_left():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="forget: .*a wrong label.*got '2 of 2 classes'"):
        wrong_labels(np.array([0, 1]), classes=2, forgotten=[0, 1], rng=rng)
    with pytest.raises(UserError, match="leaves every example a wrong label"):
        wrong_labels(np.array([0]), classes=2, forgotten=[1], rng=rng)
    assert wrong_labels(np.array([1, 1]), classes=2, forgotten=[1], rng=rng).tolist() == [0, 0]
    assert wrong_labels(np.array([], int), classes=2, rng=rng).shape == (0,)
