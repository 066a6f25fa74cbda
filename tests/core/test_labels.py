"""The check of class labels, and every public function that takes them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.attacks import backdoor, label_flip
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.labels import require_labels
from tfunlearn.datasets import LabeledData
from tfunlearn.evaluation import (
    accuracy,
    attack_success,
    class_accuracies,
    cross_entropies,
    cross_entropy,
    label_probabilities,
    source_error,
)
from tfunlearn.evaluation.signal import chance_level
from tfunlearn.unlearning import (
    ClassActivations,
    ascend,
    channel_effects,
    mean_gradient_of,
    train_head,
    wrong_labels,
)
from tfunlearn.verification import ShadowAttack, confidences, gradient_of, invert_gradient

layers = tf.keras.layers
LABELS = np.array([0, 1, 2, 3, 1, 0])
OUTPUTS = np.eye(4)[[0, 1, 2, 3, 0, 0]] * 5 + np.linspace(0, 1, 24).reshape(6, 4)
HEAD = np.zeros((2, 4), np.float32), np.zeros(4, np.float32)
IMAGES = np.linspace(0, 1, 6 * 36, dtype=np.float32).reshape(6, 6, 6, 1)


def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def net():
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="sigmoid", name="conv"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


def unlearned(net, y):
    return ascend(net, net.get_weights(), IMAGES, y, radius=1.0, epochs=1, rng=rng()).weights


DOORS = {
    "accuracy": lambda net, y: accuracy(OUTPUTS.argmax(1), y),
    "class_accuracies": lambda net, y: class_accuracies(OUTPUTS.argmax(1), y, 4),
    "attack_success": lambda net, y: attack_success(OUTPUTS.argmax(1), y, source=1, target=0),
    "source_error": lambda net, y: source_error(OUTPUTS.argmax(1), y, source=1),
    "cross_entropy": lambda net, y: cross_entropy(OUTPUTS, y, from_logits=True),
    "cross_entropies": lambda net, y: cross_entropies(OUTPUTS, y, from_logits=False),
    "label_probabilities": lambda net, y: label_probabilities(OUTPUTS, y, from_logits=False),
    "chance_level": lambda net, y: chance_level(y),
    "confidences": lambda net, y: confidences(OUTPUTS, y, from_logits=True),
    "ShadowAttack.fit": lambda net, y: (
        ShadowAttack(epochs=2, hidden=(4,))
        .fit([OUTPUTS], [y], [LABELS > 0])
        .scores(OUTPUTS, LABELS)
    ),
    "ShadowAttack.scores": lambda net, y: (
        ShadowAttack(epochs=2, hidden=(4,))
        .fit([OUTPUTS], [LABELS], [LABELS > 0])
        .scores(OUTPUTS, y)
    ),
    "train_head": lambda net, y: train_head(
        np.arange(12.0).reshape(6, 2), y, HEAD, epochs=1, rng=rng()
    )[0],
    "wrong_labels": lambda net, y: wrong_labels(y, classes=4, rng=rng()),
    "ascend": lambda net, y: unlearned(net, y)[0],
    "mean_gradient_of": lambda net, y: mean_gradient_of(net)(IMAGES, y)[0],
    "channel_effects": lambda net, y: channel_effects(net, IMAGES, y).losses["conv"],
    "ClassActivations": lambda net, y: ClassActivations(net)(IMAGES, y, 4)["conv"],
    "gradient_of": lambda net, y: gradient_of(net, IMAGES, y, from_logits=True)[0],
    "invert_gradient": lambda net, y: (
        invert_gradient(
            net,
            [np.ones(w.shape, np.float32) for w in net.trainable_weights],
            y,
            rng=rng(),
            from_logits=True,
            steps=2,
        ).images
    ),
    "label_flip": lambda net, y: label_flip(y, source=1, target=3),
    "backdoor": lambda net, y: backdoor(IMAGES, y, target=2, share=0.5, rng=rng())[1],
    "ClientSet": lambda net, y: ClientSet(IMAGES, y, np.array([0, 6])).labels,
    "LabeledData": lambda net, y: LabeledData("own", IMAGES, y, IMAGES, y, 4).test_labels,
}
OPEN_ABOVE = {
    "accuracy",
    "attack_success",
    "source_error",
    "chance_level",
    "label_flip",
    "backdoor",
    "ClientSet",
}  # these are not told how many classes there are
WITHOUT_COUNT = {"chance_level", "wrong_labels", "invert_gradient", "label_flip"}


@pytest.mark.parametrize("name", DOORS)
def test_columns_whole_floats_and_lists_are_what_they_plainly_mean(net, name):
    expected = np.asarray(DOORS[name](net, LABELS))
    for labels in (
        LABELS[:, None],
        LABELS.astype(float),
        LABELS.astype(np.uint8)[:, None],
        LABELS.tolist(),
        tf.constant(LABELS),
    ):
        found = np.asarray(DOORS[name](net, labels))
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize(
    "wrong, message",
    [
        (np.eye(4)[LABELS], r"labels: .*argmax.*got 'shape \(6, 4\)'"),
        (LABELS - 1, r"from -1 to 2"),
        (LABELS + 1, r"0 to 3.*subtract 1.*got .*from 1 to 4"),
        (LABELS + 0.5, r"with 0\.5"),
        (np.full(6, np.nan), r"with nan"),
        (LABELS.astype(str), r"of str"),
        (LABELS.reshape(2, 3, 1), r"shape \(2, 3, 1\)"),
        (LABELS[:4], r"4 for 6 examples"),
    ],
)
def test_anything_else_is_refused(net, name, wrong, message):
    if (name in OPEN_ABOVE and "subtract" in message) or (
        name in WITHOUT_COUNT and "examples" in message
    ):
        return
    before = net.get_weights()
    with pytest.raises(UserError, match=message) as error:
        DOORS[name](net, wrong)
    assert "labels" in str(error.value) and "\n" not in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights()))


def test_the_input_is_unchanged_and_no_labels_are_none():
    column = LABELS[:, None].copy()
    require_labels(column, classes=4, count=6)
    np.testing.assert_array_equal(column, LABELS[:, None])
    assert require_labels([]).dtype.kind == "i" and require_labels(np.zeros((0, 1))).shape == (0,)


def test_predictions_are_classes_not_scores():
    with pytest.raises(UserError, match="predictions: .*argmax"):
        accuracy(OUTPUTS, LABELS)
    with pytest.raises(UserError, match="outputs: .*class scores"):
        cross_entropy(OUTPUTS.argmax(1), LABELS, from_logits=True)
