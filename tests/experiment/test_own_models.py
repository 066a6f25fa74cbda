"""Keras models of other kinds than ours: trained under attack, a client forgotten, and measured."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.datasets import from_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.workflows.evaluate.evaluate import evaluate

L = tf.keras.layers
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(2, 30, (160, 8))
IMAGES = RNG.integers(0, 256, (90, 32, 32, 3)).astype(np.uint8)
for number, image in enumerate(IMAGES):
    image[:, 10 * (number % 3) : 10 * (number % 3) + 10] = 255
TEXT = from_arrays(TOKENS, TOKENS[:, 0] // 10, vocabulary=30, name="text")
PHOTOS = from_arrays(IMAGES, np.arange(90) % 3, name="photos")
BINARY = from_arrays(RNG.normal(size=(160, 4)), np.arange(160) % 2, name="binary")


def recurrent(shape, classes, *, seed, vocabulary):
    tokens = tf.keras.Input(shape, dtype="int32")
    x = L.Embedding(vocabulary, 8)(tokens)
    x = L.Bidirectional(L.LSTM(6, return_sequences=True, dropout=0.1))(x)
    return tf.keras.Model(tokens, L.Dense(classes, activation="softmax")(L.GRU(6)(x)))


def attention(shape, classes, *, seed, vocabulary):
    tokens = tf.keras.Input(shape, dtype="int32")
    x = L.Embedding(vocabulary, 8)(tokens)
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
    return tf.keras.Model(tokens, L.Dense(classes)(L.GlobalAveragePooling1D()(x)))


def vision_transformer(shape, classes, *, seed):
    images = tf.keras.Input(shape)
    x = L.Reshape((16, 12))(L.Conv2D(12, 8, strides=8)(images))
    inner = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 6)(inner, inner)])
    inner = L.Dense(12)(L.Dense(24, activation="gelu")(L.LayerNormalization()(x)))
    x = L.GlobalAveragePooling1D()(L.Add()([x, inner]))
    return tf.keras.Model(images, L.Dense(classes)(x))


def nested_mobile_net(shape, classes, *, seed):
    base = tf.keras.applications.MobileNetV2(
        input_shape=shape, include_top=False, weights=None, alpha=0.35, pooling="avg"
    )
    images = tf.keras.Input(shape)
    return tf.keras.Model(images, L.Dense(classes)(base(images)))


def efficient_net(shape, classes, *, seed):
    return tf.keras.applications.EfficientNetB0(input_shape=shape, weights=None, classes=classes)


def sigmoid(shape, classes, *, seed):
    return tf.keras.Sequential(
        [L.Input(shape), L.Dense(8, activation="relu"), L.Dense(1, activation="sigmoid")]
    )


def one_logit(shape, classes, *, seed):
    return tf.keras.Sequential([L.Input(shape), L.Dense(8, activation="relu"), L.Dense(1)])


MODELS = {
    "recurrent": (recurrent, TEXT),
    "attention": (attention, TEXT),
    "vision transformer": (vision_transformer, PHOTOS),
    "nested MobileNetV2": (nested_mobile_net, PHOTOS),
    "EfficientNetB0": (efficient_net, PHOTOS),
    "one sigmoid output": (sigmoid, BINARY),
    "one logit": (one_logit, BINARY),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_trained_under_attack_and_unlearned(name, tmp_path):
    build, data = MODELS[name]
    tf.keras.utils.set_random_seed(1)
    config = run_config(
        dataset=data,
        model=build,
        rounds=1,
        clients=3,
        malicious=1,
        attack="label-flip",
        source=0,
        target=1,
        local_epochs=1,
    )
    run = train(config, out=tmp_path / "run")
    assert np.isfinite(run.metrics[-1]["test_loss"])
    assert all(np.isfinite(weight).all() for weight in run.model.get_weights())
    found = evaluate(tmp_path / "run")
    assert found.measured["test_loss"] == pytest.approx(run.metrics[-1]["test_loss"], rel=1e-5)
    assert len(found.class_accuracies) == data.classes
    settings = unlearn_settings(
        method="fedup", forget=["malicious"], reference=False, recovery_rounds=1
    )
    done = unlearn(tmp_path / "run", settings, out=tmp_path / "forgotten")
    zeroed = {name: part["entries"] for name, part in done.record.report["zeroed"].items()}
    assert (
        sum(zeroed.values()) > 0
        and done.record.forgotten.clients == run.federation.malicious.tolist()
    )


def test_one_output_is_the_probability_of_the_second_class():
    from tfunlearn.evaluation import OutputsOf
    from tfunlearn.evaluation.metrics import probabilities

    x = RNG.normal(size=(5, 4)).astype(np.float32)
    model = sigmoid((4,), 2, seed=0)
    p = np.asarray(model(x))[:, 0]
    np.testing.assert_allclose(OutputsOf(model)(x), np.stack([1 - p, p], axis=1), rtol=1e-6)
    logit = one_logit((4,), 2, seed=0)
    z = np.asarray(logit(x))[:, 0]
    scores = OutputsOf(logit)(x)
    np.testing.assert_allclose(scores, np.stack([0 * z, z], axis=1), rtol=1e-6)
    two = probabilities(scores, from_logits=True)
    np.testing.assert_allclose(two[:, 1], 1 / (1 + np.exp(-z.astype(float))), rtol=1e-6)
