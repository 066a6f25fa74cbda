"""Metrics on class scores: arrays in, numbers out."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.labels import require_labels


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy, the share of `predictions` `(m,)` that equal `labels` `(m,)`."""
    predictions, labels = _both(predictions, labels)
    return float(np.mean(predictions == labels))


def class_accuracies(predictions: np.ndarray, labels: np.ndarray, classes: int) -> list[float]:
    """Return the accuracy on each class, NaN for a class without examples."""
    predictions, labels = _both(predictions, labels, classes)
    hits = np.bincount(labels[predictions == labels], minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    return [float(h / c) if c else float("nan") for h, c in zip(hits, counts)]


def attack_success(
    predictions: np.ndarray, labels: np.ndarray, *, source: int, target: int
) -> float:
    """Return the attack success rate, the share of source-class examples predicted as the target;
    NaN without source-class examples."""
    predictions, labels = _both(predictions, labels)
    return _share(predictions[labels == source] == target)


def source_error(predictions: np.ndarray, labels: np.ndarray, *, source: int) -> float:
    """Return the share of source-class examples predicted as any other class; NaN without
    source-class examples."""
    predictions, labels = _both(predictions, labels)
    return _share(predictions[labels == source] != source)


def cross_entropy(outputs: np.ndarray, labels: np.ndarray, *, from_logits: bool) -> float:
    """Return the mean cross-entropy, -log p(label); arguments as for `cross_entropies`."""
    return float(cross_entropies(outputs, labels, from_logits=from_logits).mean())


def cross_entropies(outputs: np.ndarray, labels: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """Return the cross-entropy of each example, -log p(label), float64 `(m,)`.

    Args:
        outputs: `(m, classes)` logits, or probabilities (clipped at 1e-7 as in Keras).
        labels: `(m,)` or `(m, 1)`, 0 to classes - 1.
        from_logits: whether `outputs` are logits, not probabilities.

    Raises:
        UserError: outputs of another shape, or invalid labels.
    """
    outputs, labels = _scores(outputs, labels)
    outputs = outputs.astype(np.float64)
    chosen = outputs[np.arange(len(labels)), labels]
    if from_logits:
        with np.errstate(invalid="ignore"):  # a diverged model gives infinite logits
            top = outputs.max(axis=1)
            losses = top + np.log(np.exp(outputs - top[:, None]).sum(axis=1)) - chosen
    else:
        losses = -np.log(np.clip(chosen, 1e-7, 1.0))
    return losses


def label_probabilities(
    outputs: np.ndarray, labels: np.ndarray, *, from_logits: bool
) -> np.ndarray:
    """Return p(label) of each example, float64 `(m,)`; arguments as for `cross_entropies`."""
    if from_logits:
        return np.exp(-cross_entropies(outputs, labels, from_logits=True))
    outputs, labels = _scores(outputs, labels)
    return outputs[np.arange(len(labels)), labels].astype(np.float64)


def probabilities(outputs: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """Return the probability of each class, `(m, classes)`; arguments as for `cross_entropies`."""
    if not from_logits:
        return outputs
    powers = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _both(
    predictions: np.ndarray, labels: np.ndarray, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return validated predicted classes and labels, both `(m,)`."""
    predictions = np.asarray(predictions)
    require(
        "predictions",
        f"shape {predictions.shape}",
        predictions.ndim == 1,
        "predicted classes (m,); of class scores take argmax(axis=1)",
    )
    return predictions, require_labels(labels, classes=classes, count=len(predictions))


def _scores(outputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return validated class scores `(m, classes)` and labels `(m,)`."""
    outputs = np.asarray(outputs)
    require("outputs", f"shape {outputs.shape}", outputs.ndim == 2, "class scores (m, classes)")
    return outputs, require_labels(labels, classes=outputs.shape[1], count=len(outputs))


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
