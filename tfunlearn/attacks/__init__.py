"""Attacks on the data of malicious clients, by name."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.label_flip import label_flip
from tfunlearn.core.clients import ClientSet

DATA_ATTACKS = {"label-flip": label_flip}
ATTACKS = {"none": None, **DATA_ATTACKS}


def poison(
    clients: ClientSet, malicious: np.ndarray, attack: str, *, source: int, target: int
) -> ClientSet:
    """Returns the client set with the labels of `malicious` (client ids) attacked."""
    labels = clients.labels.copy()
    for client in malicious:
        rows = clients.rows(client)
        labels[rows] = DATA_ATTACKS[attack](labels[rows], source=source, target=target)
    return clients.with_labels(labels)


def choose_malicious(clients: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the sorted ids of `count` of `clients` clients, drawn without replacement."""
    return np.sort(rng.choice(clients, count, replace=False))


__all__ = ["ATTACKS", "DATA_ATTACKS", "choose_malicious", "label_flip", "poison"]
