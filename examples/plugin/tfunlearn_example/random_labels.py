"""An attack on data: malicious clients learn random labels."""

import numpy as np


def random_labels(images, labels, *, share: float = 1.0, rng):
    """malicious clients give a share of their examples random labels"""
    labels = labels.copy()
    chosen = rng.random(len(labels)) < share
    labels[chosen] = rng.integers(0, labels.max() + 1, int(chosen.sum()))
    return images, np.asarray(labels)
