"""The metrics of a run's every round."""

from __future__ import annotations

import math

import numpy as np

from tfunlearn.datasets import ImageData
from tfunlearn.evaluation import OutputsOf, accuracy, attack_success, cross_entropy, source_error
from tfunlearn.experiment.config import AttackConfig
from tfunlearn.models.outputs import ends_in_softmax


def measured(
    outputs_of: OutputsOf, outputs: np.ndarray, data: ImageData, attack: AttackConfig
) -> dict[str, float | None]:
    """Returns test accuracy and loss, attack success and source-class error.

    Attack success is the share of source-class test images that are taken for the target; under a
    backdoor the share of triggered test images of any other class that are.

    Args:
        outputs_of: gives the outputs of the model, as its weights now are.
        outputs: its outputs on the test images, `(m, classes)`.
        data: the data set.
        attack: names the source and target class.

    Returns:
        A mapping; None where the test set has no example to measure it on.
    """
    predictions, labels = outputs.argmax(axis=1), data.test_labels
    values = dict(
        test_accuracy=accuracy(predictions, labels),
        test_loss=cross_entropy(outputs, labels, from_logits=not ends_in_softmax(outputs_of.model)),
        attack_success=_success(outputs_of, predictions, data, attack),
        source_error=source_error(predictions, labels, source=attack.source))
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _success(
    outputs_of: OutputsOf, predictions: np.ndarray, data: ImageData, attack: AttackConfig
) -> float:
    if attack.on_data != "backdoor":
        return attack_success(
            predictions, data.test_labels, source=attack.source, target=attack.target)
    others = data.test_labels != attack.target
    if not others.any():
        return math.nan
    triggered = outputs_of(attack.trigger.stamped(data.test_images[others]))
    return accuracy(triggered.argmax(axis=1), attack.target)
