"""The adversary's knowledge when malicious clients craft their updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.errors import UserError


@dataclass(frozen=True)
class AdversaryView:
    """The adversary's view of a round.

    Attributes:
        own: float32 `(c, d)`, the malicious clients' own updates as trained, before the attack.
        model: float32 `(d,)`, the global model at the start of the round.
        clients: number of clients in the round, n.
        rng: random generator of the attack.
        benign: float32 `(n - c, d)`, the updates of all other clients; None under partial
            knowledge.
        aggregate: the server's rule on all updates, benign ones first, `(n, d) -> (d,)`; default
            the mean.
        select: the selection step of the server's rule if that is Krum or multi-Krum, else that of
            Krum: `(squared distances (n, n), f or None for the server's f) -> bool (n,)`.
        kept_apart: float32 `(m, e)`, the coordinates of the benign (if known) and own updates that
            are not attacked but count in distances, such as statistics; None if there are none.
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
        """Updates to imitate: those of benign clients, or `own` under partial knowledge."""
        return self.own if self.benign is None else self.benign

    def rising(self) -> np.ndarray:
        """Return the mask of coordinates that would increase without the attack, bool `(d,)`.

        It is the sign of the server's rule on all updates under full knowledge, and of the mean
        of the malicious clients' own updates under partial knowledge.
        """
        if self.benign is None:
            return self.own.mean(axis=0, dtype=np.float64) > 0
        return self.aggregate(np.concatenate([self.benign, self.own])) > 0

    def need_all(self, attack: str) -> np.ndarray:
        """Return the benign updates; raise a `UserError` without full knowledge."""
        if self.benign is None:
            raise UserError(f"knowledge: {attack} needs full, every client's update; got partial")
        return self.benign

    def need_spread(self, attack: str) -> None:
        """Raise a `UserError` unless at least two updates are in `known`."""
        if len(self.known) < 2:
            raise UserError(
                f"knowledge: {attack} needs at least 2 malicious clients in a round to estimate "
                f"the spread, or knowledge full; got {len(self.known)}"
            )

    def everywhere(self, vector: np.ndarray) -> np.ndarray:
        """Return `vector` `(d,)` as the update of every malicious client, `(c, d)` float32."""
        return np.repeat(np.asarray(vector, np.float32)[None, :], len(self.own), axis=0)
