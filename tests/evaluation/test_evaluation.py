"""Metrics by hand, and outputs in batches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfunlearn.evaluation import (
    OutputsOf,
    accuracy,
    attack_success,
    class_accuracies,
    cross_entropy,
    source_error,
)
from tfunlearn.models import build_model

LABELS = np.array([1, 1, 1, 1, 0, 7])
PREDICTIONS = np.array([7, 1, 7, 3, 0, 1])


def test_shares_by_hand():
    assert accuracy(PREDICTIONS, LABELS) == pytest.approx(2 / 6)
    assert attack_success(PREDICTIONS, LABELS, source=1, target=7) == 0.5
    assert source_error(PREDICTIONS, LABELS, source=1) == 0.75
    shares = class_accuracies(PREDICTIONS, LABELS, 8)
    assert shares[0] == 1 and shares[1] == 0.25 and shares[7] == 0 and math.isnan(shares[2])
    assert math.isnan(attack_success(PREDICTIONS, LABELS, source=5, target=7))
    assert math.isnan(source_error(PREDICTIONS, LABELS, source=5))


def test_cross_entropy_by_hand():
    logits = np.array([[0, 0], [1000, 0]], np.float32)
    assert cross_entropy(logits, np.array([0, 0]), from_logits=True) == pytest.approx(
        math.log(2) / 2
    )
    assert cross_entropy(logits, np.array([0, 1]), from_logits=True) == pytest.approx(
        (math.log(2) + 1000) / 2
    )
    probabilities = np.array([[0.25, 0.75], [1, 0]], np.float32)
    assert cross_entropy(probabilities, np.array([0, 1]), from_logits=False) == pytest.approx(
        (math.log(4) - math.log(1e-7)) / 2
    )


def test_outputs_do_not_depend_on_batches_and_use_given_weights(rng):
    model = build_model("lenet5", (28, 28, 1), 10)
    images = rng.integers(0, 256, (7, 28, 28, 1), dtype=np.uint8)
    expected = model(images.astype(np.float32) / 255).numpy()
    np.testing.assert_allclose(
        OutputsOf(model, batch_size=3)(images), expected, rtol=1e-4, atol=1e-6
    )
    doubled = [2 * w for w in model.get_weights()]
    outputs = OutputsOf(model, batch_size=4)(images.astype(np.float32) / 255, doubled)
    model.set_weights(doubled)
    np.testing.assert_allclose(outputs, model(images.astype(np.float32) / 255), rtol=1e-4)
