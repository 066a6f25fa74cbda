"""Partitions of a data set into clients, determined by the seed.

All but `overlapping` are disjoint and complete.
"""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.datasets.images import ImageData


def iid(data: ImageData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return an equal, random, disjoint share of the examples for each client."""
    return np.array_split(rng.permutation(len(data.labels)), clients)


def dirichlet(
    data: ImageData, *, clients: int, alpha: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split every class over the clients in proportions drawn from Dirichlet(alpha, ...).

    Args:
        data: the data set.
        clients: number of clients.
        alpha: concentration, > 0; with small values, each client holds few classes.
        rng: the generator.

    Reference:
        Hsu et al., "Measuring the effects of non-identical data distribution for federated
        visual classification" (arXiv 1909.06335).
    """
    parts = [[] for _ in range(clients)]
    for label in range(data.classes):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        shares = rng.dirichlet(np.full(clients, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for part, piece in zip(parts, np.split(rows, cuts)):
            part.append(piece)
    return [np.concatenate(part) for part in parts]


def classes(
    data: ImageData, *, clients: int, per_client: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Assign `per_client` classes to every client; the clients of a class share it equally.

    Raises:
        UserError: `per_client` is out of range, or so low that a class would have no client.
    """
    if not 1 <= per_client <= data.classes:
        raise UserError(
            f"classes_per_client: {per_client} is out of range; {data.name} has "
            f"{data.classes} classes"
        )
    if clients * per_client < data.classes:
        raise UserError(
            f"classes_per_client: {clients} clients with {per_client} classes each cannot hold "
            f"the {data.classes} classes of {data.name}; raise clients or classes_per_client"
        )
    order = rng.permutation(data.classes)
    holders = {label: [] for label in range(data.classes)}
    for slot in range(clients * per_client):
        holders[int(order[slot % data.classes])].append(slot // per_client)
    parts = [[] for _ in range(clients)]
    for label, owners in holders.items():
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        for owner, piece in zip(owners, np.array_split(rows, len(owners))):
            parts[owner].append(piece)
    return [np.concatenate(part) for part in parts]


def writers(data: ImageData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Make every writer a client, or distribute the writers at random over fewer clients.

    Raises:
        UserError: the data set has no writers, or fewer writers than clients.
    """
    if data.writers is None:
        raise UserError(
            f"partition: 'writers' needs a data set with writers; {data.name} has none "
            "(femnist, femnist-digits have)"
        )
    names = np.unique(data.writers)
    if clients > len(names):
        raise UserError(f"clients: {clients} clients but {data.name} has {len(names)} writers")
    by_writer = np.split(
        np.argsort(data.writers, kind="stable"), np.flatnonzero(np.diff(np.sort(data.writers))) + 1
    )
    groups = np.array_split(rng.permutation(len(names)), clients)
    return [np.concatenate([by_writer[k] for k in group]) for group in groups]


def overlapping(data: ImageData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return an equal share for each client, each drawn from all examples: shares overlap.

    With n clients, an expected fraction 1 - (1 - 1/n)^(n - 1) of a client's examples is also held
    by other clients, and (1 - 1/n)^n of all examples is held by no client.

    Reference:
        The IID split in the published code of Wei et al., "Rethinking Federated Unlearning via
        the Lens of Memorization" (KDD 2026, arXiv 2605.24545).
    """
    size = len(data.labels) // clients
    return [rng.choice(len(data.labels), size, replace=False) for _ in range(clients)]


PARTITIONS = {
    "iid": iid,
    "dirichlet": dirichlet,
    "classes": classes,
    "writers": writers,
    "overlapping": overlapping,
}


def check_partition(parts: list[np.ndarray], examples: int, *, disjoint: bool = True) -> None:
    """Check that no client is empty and, if `disjoint`, that every example is used exactly once.

    Raises:
        UserError: a client has no examples.
    """
    empty = [k for k, part in enumerate(parts) if not len(part)]
    if empty:
        raise UserError(
            f"partition: {len(empty)} of {len(parts)} clients got no example (client {empty[0]} "
            f"first) from {examples} examples; take fewer clients or another partition"
        )
    assert not disjoint or np.array_equal(np.sort(np.concatenate(parts)), np.arange(examples))
