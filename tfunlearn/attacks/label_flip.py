"""Label flip: malicious clients relabel one class as another."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import DataAttack
from tfunlearn.core.labels import require_labels


def label_flip(labels: np.ndarray, *, source: int = 1, target: int = 7) -> np.ndarray:
    """Return labels `(m,)` with every `source` replaced by `target`; the input is unchanged.

    Args:
        labels: true labels of a malicious client, `(m,)`.
        source: class of the relabeled examples; default 1.
        target: their new class; default 7.

    Reference:
        Tolpegin et al., "Data poisoning attacks against federated learning systems", ESORICS 2020
        (arXiv 2007.08432); source 1 and target 7 as in Meng et al. (FLAP).
    """
    labels = require_labels(labels)
    return np.where(labels == source, labels.dtype.type(target), labels)


LABEL_FLIP = DataAttack(
    name="label-flip",
    summary="malicious clients relabel a source class as a target class",
    paper="Tolpegin et al., ESORICS 2020, arXiv 2007.08432",
    poison=lambda images, labels, own, classes, rng: (
        images,
        label_flip(labels, source=classes.source, target=classes.target),
    ),
    describe=lambda own, classes: f" {classes.source} -> {classes.target}",
    needs_other_class=True,
)
