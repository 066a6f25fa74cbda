"""Fang's attack on Krum: a crafted model that Krum selects, and near-copies that support it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from tfunlearn.attacks.attack import KnowledgeSettings, UpdateAttack
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.blocks import gram, pairwise_squared_distances
from tfunlearn.core.errors import UserError

SMALLEST = 1e-5  # lambda below which the attack gives up
NEARBY = 0.01  # distance of the supporters from the crafted model


def fang_krum(view: AdversaryView) -> np.ndarray:
    """Return crafted updates against the round's direction, of which the server's Krum selects one.

        crafted model = global model - lambda s, s_j = +1 where the aggregate would increase, else
        -1; lambda is halved from an upper bound until Krum selects it; no attack below 1e-5

    With full knowledge, the search assumes c equal crafted updates. With partial knowledge,
    malicious clients treat their own updates as the benign ones and add copies of the crafted one
    until it is selected, at most c. The first malicious client then sends the crafted update; the
    others draw theirs within distance 0.01 of it.

    Args:
        view: the adversary's view; `select` is the selection of the server's rule.

    Returns:
        `(c, d)`; the malicious clients' own updates if there is no such lambda.

    Raises:
        UserError: full knowledge and `n <= 2c + 1`.

    Reference:
        Fang et al., "Local model poisoning attacks to Byzantine-robust federated learning",
        USENIX Security 2020 (arXiv 1911.11815), sections 4.2 and 4.3.
        Deviation: under partial knowledge the paper specifies no initial lambda (1 here), no number
        of malicious clients in the simulated Krum (the number of copies here) and no limit on
        copies (c here); if the server's rule selects several rows, it must select as many crafted
        ones as it can.
    """
    direction = np.where(view.rising(), np.float32(1), np.float32(-1))
    if view.benign is None:
        step = _partial(view, direction)
    else:
        step = _full(view, direction)
    if step is None:
        return view.own.copy()
    return _with_supporters(view, -np.float32(step) * direction)


def _full(view: AdversaryView, direction: np.ndarray) -> float | None:
    benign, c, n = view.benign, len(view.own), view.clients
    assert benign is not None  # knowledge is full
    require_minority(n, c)
    geometry = _Crafted(benign, direction, view.kept_apart)
    distances = np.sqrt(np.sort(geometry.among_honest, axis=1))
    nearest = distances[:, 1 : max(n - c - 2, 0) + 1].sum(axis=1).min()
    size = np.sqrt(benign.shape[1])
    step = nearest / ((n - 2 * c - 1) * size) + np.sqrt(geometry.norms.max()) / size
    return _halve_until(step, lambda step: _is_picked(view, geometry.distances(step, c), c, None))


def require_minority(clients: int, malicious: int) -> None:
    """Raise a `UserError` unless `n > 2c + 1`."""
    if clients <= 2 * malicious + 1:
        raise UserError(
            "malicious: fang-krum with knowledge full needs n > 2c + 1, here "
            f"n > {2 * malicious + 1}; got n={clients} clients, c={malicious} malicious"
        )


def _partial(view: AdversaryView, direction: np.ndarray) -> float | None:
    apart = view.kept_apart
    doubled = None if apart is None else np.concatenate([apart, apart])  # benign, then crafted
    geometry, step = _Crafted(view.own, direction, doubled), None
    for copies in range(1, len(view.own) + 1):
        step = _halve_until(
            1.0,
            lambda step, n=copies: _is_picked(view, geometry.distances(step, n), n, n),
        )
        if step is not None:
            break
    return step


def _halve_until(step: float, picked) -> float | None:
    while step >= SMALLEST:
        if picked(step):
            return step
        step /= 2
    return None


def _is_picked(view: AdversaryView, distances: np.ndarray, copies: int, f: int | None) -> bool:
    """Return whether the rule selects as many crafted rows (the last ones) as possible."""
    chosen = cast(Callable, view.select)(distances, f)
    return int(chosen[-copies:].sum()) == min(copies, int(chosen.sum()))


class _Crafted:
    """Distances between benign updates and `-step * direction`, for any step, from one Gram matrix.

    Args:
        honest: benign updates `(m, d)`.
        direction: `(d,)`, entries +1 or -1.
        apart: float32, at least m + copies rows, the coordinates that are not attacked; or None.
    """

    def __init__(self, honest: np.ndarray, direction: np.ndarray, apart: np.ndarray | None):
        products = gram(np.concatenate([honest, direction[None]]))
        self.norms, self._along = products.diagonal()[:-1], products[-1, :-1]
        self._size = products[-1, -1]
        self._apart = None if apart is None else pairwise_squared_distances(apart)
        self.among_honest = pairwise_squared_distances(honest)
        if self._apart is not None:
            self.among_honest += self._apart[: len(honest), : len(honest)]

    def distances(self, step: float, copies: int) -> np.ndarray:
        """Return the squared distances `(m + copies, m + copies)`, with the crafted rows last."""
        honest = len(self.norms)
        result = np.zeros((honest + copies, honest + copies))
        crafted = np.maximum(self.norms + 2 * step * self._along + step**2 * self._size, 0)
        result[:honest, honest:], result[honest:, :honest] = crafted[:, None], crafted[None, :]
        if self._apart is not None:
            result += self._apart[: honest + copies, : honest + copies]
        result[:honest, :honest] = self.among_honest
        return result


def _with_supporters(view: AdversaryView, crafted: np.ndarray) -> np.ndarray:
    """Return the crafted update, then uniform draws from the ball of radius 0.01 around it."""
    result = view.everywhere(crafted)
    for row in result[1:]:
        offset = view.rng.standard_normal(len(row))
        radius = NEARBY * view.rng.random() ** (1 / len(row))
        row += (offset * (radius / np.linalg.norm(offset))).astype(np.float32)
    return result


def _condition(clients: int, malicious: int, own: KnowledgeSettings) -> str | None:
    if own.knowledge == "full":
        require_minority(clients, malicious)
    elif malicious < 2:
        return (
            "malicious: fang-krum with knowledge partial needs 2 malicious clients in a round, "
            f"which support each other; here it is {malicious}"
        )
    return None


FANG_KRUM = UpdateAttack(
    name="fang-krum",
    summary="local model poisoning against Krum",
    paper="Fang et al., USENIX Security 2020, arXiv 1911.11815",
    craft=lambda view, own: fang_krum(view),
    condition=_condition,
)
