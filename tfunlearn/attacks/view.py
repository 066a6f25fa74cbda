"""What malicious clients know when they craft their updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.errors import UserError


@dataclass(frozen=True)
class View:
    """What the attackers of a round see.

    Attributes:
        own: float32 `(c, d)`, what their own training gave (before the attack).
        model: float32 `(d,)`, the global model that the round started from.
        clients: number of clients in the round, n.
        rng: generator of whatever they draw.
        benign: float32 `(n - c, d)`, everybody else's updates; None under partial knowledge.
        aggregate: the server's rule on everybody's updates, benign ones first, `(n, d) -> (d,)`.
        select: the choice of the server's rule if that is one of the Krum family, else Krum's:
            `(squared distances (n, n), f or None for the server's own) -> bool (n,)`.
        kept_apart: float32 `(m, e)`, of benign (if known) and own updates the coordinates that are
            not attacked but that count in distances, such as statistics; None if there are none.
    """

    own: np.ndarray
    model: np.ndarray
    clients: int
    rng: np.random.Generator
    benign: np.ndarray | None = None
    aggregate: Callable[[np.ndarray], np.ndarray] = field(default=lambda rows: rows.mean(axis=0))
    select: Callable | None = None
    kept_apart: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Honest updates to imitate: everybody else's, or their own under partial knowledge."""
        return self.own if self.benign is None else self.benign

    def rising(self) -> np.ndarray:
        """Returns where the global model would increase without an attack, bool `(d,)`.

        With full knowledge that is what the server's rule makes of everybody's updates, else the
        mean of the attackers' own.
        """
        if self.benign is None:
            return self.own.mean(axis=0, dtype=np.float64) > 0
        return self.aggregate(np.concatenate([self.benign, self.own])) > 0

    def need_spread(self, attack: str) -> None:
        """Raises a `UserError` unless at least two honest updates are known."""
        if len(self.known) < 2:
            raise UserError(f"knowledge: {attack} estimates a spread and sees {len(self.known)} "
                            "update; allowed are at least 2 malicious clients in a round, or "
                            "knowledge full")

    def everywhere(self, vector: np.ndarray) -> np.ndarray:
        """Returns `vector` `(d,)` as every attacker's update, `(c, d)` float32."""
        return np.repeat(np.asarray(vector, np.float32)[None, :], len(self.own), axis=0)
