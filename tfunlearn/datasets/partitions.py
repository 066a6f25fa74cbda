"""Partitions of a data set into clients, determined by the seed.

All but `overlapping` are disjoint and complete.
"""

from __future__ import annotations

import csv
import os

import numpy as np

from tfunlearn.core.errors import UserError, first_line, nearest
from tfunlearn.core.files import user_path
from tfunlearn.datasets.labeled_data import LabeledData


def iid(data: LabeledData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return an equal, random, disjoint share of the examples for each client."""
    return np.array_split(rng.permutation(len(data.labels)), clients)


def dirichlet(
    data: LabeledData,
    *,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    min_examples: int = 1,
    redraws: int = 10,
) -> list[np.ndarray]:
    """Split every class over the clients in proportions drawn from Dirichlet(alpha, ...).

    The whole split is drawn again until every client has `min_examples`, as Flower does.

    Args:
        data: the data set.
        clients: number of clients.
        alpha: concentration, > 0; with small values, each client holds few classes.
        rng: the generator.
        min_examples: fewest examples of a client; default 1.
        redraws: draws after the first before giving up; default 10.

    Raises:
        UserError: no draw gave every client enough examples.

    Reference:
        Hsu et al., "Measuring the effects of non-identical data distribution for federated
        visual classification" (arXiv 1909.06335).
    """
    smallest = []
    for _ in range(1 + redraws):
        parts = _dirichlet_draw(data, clients, alpha, rng)
        smallest.append(min(map(len, parts)))
        if smallest[-1] >= min_examples:
            return parts
    raise UserError(
        f"min_examples: the smallest client must have {min_examples} examples; got "
        f"{max(smallest)} at most in {1 + redraws} draws of dirichlet with alpha {alpha:g}; take "
        "fewer clients, a larger alpha, a smaller --min-examples, or more --redraws"
    )


def _dirichlet_draw(
    data: LabeledData, clients: int, alpha: float, rng: np.random.Generator
) -> list[np.ndarray]:
    parts = [[] for _ in range(clients)]
    for label in range(data.classes):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        shares = rng.dirichlet(np.full(clients, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for part, piece in zip(parts, np.split(rows, cuts)):
            part.append(piece)
    return [np.concatenate(part) for part in parts]


def classes(
    data: LabeledData, *, clients: int, per_client: int, rng: np.random.Generator
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


def writers(data: LabeledData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Make every writer a client, or distribute the writers at random over fewer clients.

    If each has a client of its own, writers with names are in the order of their names.

    Raises:
        UserError: the data set has no writers, or fewer writers than clients.
    """
    if data.writers is None:
        raise UserError(
            f"partition: 'writers' needs a data set with natural clients; {data.name} has none "
            "(femnist and LEAF's data have; of a table, name them with --client-column)"
        )
    named = data.writers.dtype.kind == "U"  # clients with names are in the order of these
    alone = named and clients == len(np.unique(data.writers))
    what = f"{data.name} has {{}} writers"
    return _grouped(data.writers, None if alone else clients, rng, what)[0]


def column(
    data: LabeledData, *, clients: int | None, name: str, rng: np.random.Generator
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """Make every value of a column a client, or distribute the values over fewer clients.

    Clients are in the order of the values, sorted as text.

    Returns:
        The rows of each client, and the clients' names (the values), None if several share one.

    Raises:
        UserError: the data have no such column, or fewer values than clients.
    """
    if name not in data.columns:
        known = ", ".join(data.columns) or "none"
        raise UserError(
            f"partition: column:{name} must name a column of text of {data.name}"
            f"{nearest(name, data.columns)} (it has {known})"
        )
    values = np.asarray(data.columns[name])
    if clients == len(np.unique(values)):
        clients = None
    return _grouped(values, clients, rng, f"column {name} has {{}} values")


def _grouped(
    values: np.ndarray, clients: int | None, rng: np.random.Generator, what: str
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """Return rows by value: one client for each value, or several values for each client."""
    names, inverse = np.unique(values, return_inverse=True)
    if clients is not None and clients > len(names):
        raise UserError(f"clients: {clients} clients but {what.format(len(names))}")
    by_name = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    if clients is None:
        return by_name, tuple(map(str, names))
    groups = np.array_split(rng.permutation(len(names)), clients)
    parts = [np.concatenate([by_name[k] for k in group]) for group in groups]
    alone = all(len(group) == 1 for group in groups)
    return parts, tuple(str(names[int(group[0])]) for group in groups) if alone else None


def quantity(
    data: LabeledData, *, clients: int, sigma: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split the examples at random into shares of log-normal size.

        share of client k = exp(sigma z_k) / sum_j exp(sigma z_j), z normal

    Every client has at least one example.

    Args:
        data: the data set.
        clients: number of clients.
        sigma: deviation of the logarithm of a client's size, >= 0; 0 gives equal shares.
        rng: the generator.
    """
    weights = np.exp(sigma * rng.standard_normal(clients))
    spare = len(data.labels) - clients  # one each first
    cuts = np.rint(np.cumsum(weights / weights.sum())[:-1] * spare).astype(int)
    sizes = np.diff([0, *cuts, spare]) + 1
    return np.split(rng.permutation(len(data.labels)), np.cumsum(sizes)[:-1])


def features(
    data: LabeledData, *, clients: int, skew: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split by the features: clients hold bands along the data's first principal component.

    A random share `skew` of the examples is sorted by its projection on the first principal
    component and cut into equal bands, one a client; the others are dealt at random. Classes may
    become uneven too, as far as they depend on that direction.

    Args:
        data: the data set, whose features must be numbers or images.
        clients: number of clients.
        skew: share of the examples that are sorted, 0 (iid) to 1.
        rng: the generator.

    Raises:
        UserError: the features are token ids or several inputs.
    """
    if data.vocabulary is not None or data.features.dtype.names is not None:
        raise UserError(
            f"partition: 'features' needs numbers or images; {data.name} has "
            f"{'token ids' if data.vocabulary is not None else 'several inputs'}"
        )
    order = rng.permutation(len(data.labels))
    count = round(skew * len(order))
    ranked, rest = order[:count], order[count:]
    scores = _first_component(data.features, rng)[ranked]
    bands = np.array_split(ranked[np.argsort(scores, kind="stable")], clients)
    others = np.array_split(rest, clients)[::-1]  # so that sizes differ by one at most
    return [np.concatenate(parts) for parts in zip(bands, others)]


def _first_component(values: np.ndarray, rng: np.random.Generator, most: int = 2000) -> np.ndarray:
    """Return the projection of each example on the first principal component of a sample."""
    rows = np.sort(rng.choice(len(values), min(most, len(values)), replace=False))
    sample = np.asarray(values[rows], np.float64).reshape(len(rows), -1)
    mean = sample.mean(axis=0)
    direction = np.linalg.svd(sample - mean, full_matrices=False)[2][0]
    direction *= np.sign(direction[np.argmax(np.abs(direction))]) or 1.0
    return np.concatenate(
        [
            (np.asarray(values[first : first + most], np.float64).reshape(-1, len(mean)) - mean)
            @ direction
            for first in range(0, len(values), most)
        ]
    )


def group(
    data: LabeledData, *, clients: int, p: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Assign every example to the group of clients of its label with probability p.

    Clients are divided at random into as many groups as there are classes; an example of label l
    goes to group l with probability p, and to each other group with (1 - p) / (classes - 1); within
    a group, to a random client. p = 1 / classes is iid.

    Args:
        data: the data set.
        clients: number of clients, at least one per class.
        p: probability of the label's own group, from 1 / classes to 1.
        rng: the generator.

    Raises:
        UserError: too few clients, or p is out of range.

    Reference:
        Fang et al., "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", USENIX
        Security 2020 (arXiv 1911.11815), section 5.1.
    """
    if clients < data.classes:
        raise UserError(
            f"clients: partition group needs at least one client for each of {data.classes} "
            f"classes; got {clients}"
        )
    if not 1 / data.classes <= p <= 1:
        raise UserError(
            f"partition: the p of group:p must be from 1/{data.classes} (iid) to 1; got {p:g}"
        )
    groups = np.array_split(rng.permutation(clients), data.classes)
    away = rng.random(len(data.labels)) >= p
    chosen = data.labels.astype(np.int64).copy()
    others = rng.integers(0, data.classes - 1, len(chosen))
    chosen[away] = others[away] + (others[away] >= data.labels[away])
    sizes = np.array([len(one) for one in groups])
    places = rng.integers(0, sizes[chosen])
    owners = np.array([groups[label][place] for label, place in zip(chosen, places)])
    return [np.flatnonzero(owners == client) for client in range(clients)]


def from_file(data: LabeledData, *, path: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the partition of a CSV file that names the client of each training example.

    The file has a header and either the columns `id` and `client`, by the data's own identifiers,
    or the column `client` alone, one row for each training example in its order.

    Returns:
        The rows of each client, in the order of the names sorted as text, and the names.

    Raises:
        UserError: another form, a training example without a client or with two, or another number
            of rows. Identifiers that no training example has are ignored (the test examples').
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"partition: {path} cannot be read ({first_line(error)})")
    keys = set(rows[0]) if rows else set()
    if "client" not in keys or any(not row.get("client") for row in rows):
        raise UserError(
            f"partition: {path} must have a column client, filled in every row, and a column id "
            "or one row for each training example"
        )
    names = [row["client"] for row in rows]
    if "id" in keys:
        if data.ids is None:
            raise UserError(
                f"partition: {path} names examples by id, but {data.name} has no identifiers; of a "
                "table, name them with --id-column"
            )
        known: dict[str, str] = {}
        for row, client in zip(rows, names):
            if known.setdefault(row["id"], client) != client:
                raise UserError(
                    f"partition: {path} must name one client for each id; got {known[row['id']]!r} "
                    f"and {client!r} for {row['id']!r}"
                )
        missing = [name for name in data.ids if name not in known]
        if missing:
            raise UserError(
                f"partition: {path} must name the client of every training example; got none for "
                f"{str(missing[0])!r}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            )
        names = [known[name] for name in data.ids]
    if len(names) != len(data.labels):
        raise UserError(
            f"partition: {path} must have one row for each of {len(data.labels)} training "
            f"examples; got {len(names)}"
        )
    parts, found = _grouped(np.array(names), None, np.random.default_rng(0), "")
    assert found is not None
    return parts, found


def overlapping(data: LabeledData, *, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
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
    "quantity": quantity,
    "features": features,
}
WITH_ARGUMENT = {
    "column:NAME": "the values of a column are the clients",
    "group:P": "label-group non-IID of Fang et al.",
    "FILE.csv": "columns id and client, or client alone",
}


def partition_kind(text: str) -> tuple[str, str]:
    """Return kind and argument of a partition: a name, `column:NAME`, `group:P`, or a CSV file.

    Raises:
        UserError: it is none of them, or the P of group is no number.
    """
    kind, _, argument = text.partition(":")
    if text.endswith(".csv"):
        return "file", os.path.abspath(user_path(text))
    if kind == "column" and argument:
        return kind, argument
    if kind == "group" and argument:
        try:
            float(argument)
        except ValueError:
            raise UserError(f"partition: the P of group:P must be a number; got {argument!r}")
        return kind, argument
    if text not in PARTITIONS:
        known = ", ".join([*sorted(PARTITIONS), *WITH_ARGUMENT])
        raise UserError(
            f"partition: unknown name '{text}'{nearest(text, PARTITIONS)} (known: {known})"
        )
    return text, ""


def check_partition(
    parts: list[np.ndarray], examples: int, *, disjoint: bool = True, least: int = 1
) -> None:
    """Check that no client is empty and, if `disjoint`, that every example is used exactly once.

    Raises:
        UserError: a client has no examples, or fewer than `least`.
    """
    empty = [k for k, part in enumerate(parts) if not len(part)]
    if empty:
        raise UserError(
            f"partition: {len(empty)} of {len(parts)} clients got no example (client {empty[0]} "
            f"first) from {examples} examples; take fewer clients or another partition"
        )
    few = min(range(len(parts)), key=lambda client: len(parts[client]))
    if len(parts[few]) < least:
        raise UserError(
            f"min_examples: every client must have {least} examples; got {len(parts[few])} for "
            f"client {few}; take fewer clients, another partition, or a smaller --min-examples"
        )
    assert not disjoint or np.array_equal(np.sort(np.concatenate(parts)), np.arange(examples))
