"""Selection of malicious clients and poisoning of their examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfunlearn.core.clients import ClientSet


def poison(
    clients: ClientSet,
    malicious: np.ndarray,
    change: Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> ClientSet:
    """Return the client set with the examples of malicious clients poisoned.

    Args:
        clients: the clean client set; it is not modified.
        malicious: ids of the malicious clients.
        change: the data attack, `(client, images, labels) -> images, labels`.
    """
    images, labels = clients.images, clients.labels.copy()
    for client in malicious:
        rows = clients.rows(client)
        changed, labels[rows] = change(int(client), clients.images[rows], clients.labels[rows])
        if not np.shares_memory(changed, clients.images):  # label attacks keep the images
            images = images.copy() if images is clients.images else images
            images[rows] = changed
    return ClientSet(images, labels, clients.offsets)


def choose_malicious(clients: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted ids of `count` of `clients` clients, sampled without replacement."""
    return np.sort(rng.choice(clients, count, replace=False))
