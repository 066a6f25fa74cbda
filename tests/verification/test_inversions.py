"""Images from a model, and from an update, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.verification import gradient_of, invert_class, invert_gradient, peak_signal_to_noise


@pytest.fixture
def linear():
    """A linear model of 3 classes, each with a pixel pattern of its own."""
    model = tf.keras.Sequential(
        [tf.keras.layers.Input((4, 4, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)]
    )
    kernel = -np.ones((16, 3), np.float32)
    for label in range(3):
        kernel[4 * label : 4 * label + 4, label] = 5
    model.set_weights([kernel, np.zeros(3, np.float32)])
    return model


def test_a_class_shows_its_pattern(linear):
    found = invert_class(linear, 1, from_logits=True)
    flat = found.image.ravel()
    assert found.cost <= 0.01 and flat[4:8].min() > 0.2 > flat[[*range(4), *range(8, 16)]].max()
    with pytest.raises(UserError, match="label: .*got 3"):
        invert_class(linear, 3, from_logits=True)


def test_a_class_that_a_model_does_not_know_is_not_found(linear):
    linear.set_weights([np.zeros((16, 3), np.float32), np.zeros(3, np.float32)])
    found = invert_class(linear, 1, from_logits=True, steps=300, patience=20)
    assert found.cost == pytest.approx(2 / 3) and found.steps == 20


def test_units_that_are_dead_on_black_are_woken():
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Flatten(),
            layers.Dense(4, activation="relu"),
            layers.Dense(3),
        ]
    )
    model.set_weights(
        [
            np.ones((16, 4), np.float32),
            np.full(4, -2, np.float32),
            np.tile([[0, 5, 0]], (4, 1)).astype(np.float32),
            np.zeros(3, np.float32),
        ]
    )
    found = invert_class(model, 1, from_logits=True)
    assert found.cost <= 0.01 and found.image.min() >= 0.5
    assert invert_class(
        model, 1, from_logits=True, patience=3, start=np.zeros((4, 4, 1))
    ).cost == pytest.approx(2 / 3)


def test_a_gradient_gives_its_image_back_and_a_part_of_it_less(rng):
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((6, 6, 1)),
            tf.keras.layers.Conv2D(4, 3, activation="sigmoid"),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(5),
        ]
    )
    image = np.zeros((1, 6, 6, 1), np.float32)
    image[0, 1:4, 2:5] = 0.9
    labels = np.array([3])
    sent = gradient_of(model, image, labels, from_logits=True)
    whole = invert_gradient(model, sent, labels, rng=rng, from_logits=True, steps=400)
    masks = [np.zeros(g.shape, bool) for g in sent]
    masks[1][:1] = True  # one bias of the convolution
    part = invert_gradient(model, sent, labels, rng=rng, from_logits=True, masks=masks, steps=400)
    quality = [peak_signal_to_noise(image, found.images)[0] for found in (whole, part)]
    assert whole.distance < 0.01 and quality[0] > 20 > quality[1] + 5
    with pytest.raises(UserError, match="at least one entry"):
        invert_gradient(
            model,
            sent,
            labels,
            rng=rng,
            from_logits=True,
            masks=[np.zeros(g.shape, bool) for g in sent],
        )


def test_peak_signal_to_noise_by_hand():
    images = np.zeros((2, 1, 2, 1))
    rebuilt = np.array([[0.1, 0.1], [0.0, 0.0]]).reshape(2, 1, 2, 1)
    assert peak_signal_to_noise(images, rebuilt).tolist() == [pytest.approx(20.0), np.inf]
