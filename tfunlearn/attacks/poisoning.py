"""Who is malicious, and what that does to their examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfunlearn.core.clients import ClientSet


def poison(
    clients: ClientSet, malicious: np.ndarray,
    change: Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> ClientSet:
    """Returns the client set with the examples of malicious clients changed.

    Args:
        clients: the honest client set; it stays as it is.
        malicious: client ids.
        change: `(client, images, labels) -> images, labels`.
    """
    images, labels = clients.images, clients.labels.copy()
    for client in malicious:
        rows = clients.rows(client)
        changed, labels[rows] = change(int(client), clients.images[rows], clients.labels[rows])
        if not np.shares_memory(changed, clients.images):  # left as they were by a label attack
            images = images.copy() if images is clients.images else images
            images[rows] = changed
    return ClientSet(images, labels, clients.offsets)


def choose_malicious(clients: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the sorted ids of `count` of `clients` clients, drawn without replacement."""
    return np.sort(rng.choice(clients, count, replace=False))
