"""The metrics of a run's every round."""

from __future__ import annotations

import math

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.datasets import ImageData
from tfunlearn.evaluation import accuracy, attack_success, cross_entropy, source_error
from tfunlearn.experiment.config import AttackConfig
from tfunlearn.models.outputs import ends_in_softmax


def measured(
    model: tf.keras.Model, outputs: np.ndarray, data: ImageData, attack: AttackConfig
) -> dict[str, float | None]:
    """Returns test accuracy and loss, attack success and source-class error.

    Args:
        model: the model that gave the outputs (tells logits from probabilities).
        outputs: its outputs on the test images, `(m, classes)`.
        data: the data set.
        attack: names the source and target class.

    Returns:
        A mapping; None where the test set has no example to measure it on.
    """
    predictions, labels = outputs.argmax(axis=1), data.test_labels
    values = dict(
        test_accuracy=accuracy(predictions, labels),
        test_loss=cross_entropy(outputs, labels, from_logits=not ends_in_softmax(model)),
        attack_success=attack_success(
            predictions, labels, source=attack.source, target=attack.target),
        source_error=source_error(predictions, labels, source=attack.source))
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
