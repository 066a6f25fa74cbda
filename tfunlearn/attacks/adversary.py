"""The stage between clients and server that exchanges malicious updates for crafted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.view import View
from tfunlearn.core.errors import choose
from tfunlearn.core.seeds import generator

KNOWLEDGE = {"partial": "their own updates and the global model",
             "full": "every client's update as well"}


@dataclass(frozen=True)
class Adversary:
    """Crafts the updates of a round's malicious clients.

    Attributes:
        craft: the attack, `View -> (c, d)`.
        malicious: ids of all malicious clients.
        due: schedule `round -> bool`.
        seed: the run's seed.
        knowledge: `"partial"` (default): attackers see their own updates and the global model;
            `"full"`: every client's update as well. Either way they know the server's rule.
        aggregate: the server's rule, `(stack, ids, dropped, reference, round) -> (d,)`; default
            the mean.
        select: the choice of the server's rule, `(squared distances, f or None, dropped) -> bool
            (n,)`, see `View`.
        obstacle: `(clients, attackers) -> reason or None`; a round with a reason is left alone,
            which can happen where clients are sampled.
        columns: bool `(d,)`, coordinates that are attacked; default all. Statistics of
            normalisation layers are left out: a variance must stay positive.
    """

    craft: Callable[[View], np.ndarray]
    malicious: np.ndarray
    due: Callable[[int], bool]
    seed: int
    knowledge: str = "partial"
    aggregate: Callable | None = None
    select: Callable | None = None
    columns: np.ndarray | None = None
    obstacle: Callable[[int, int], str | None] = lambda clients, malicious: None

    def __post_init__(self):
        choose("knowledge", self.knowledge, KNOWLEDGE)

    def __call__(
        self, stack: np.ndarray, ids: np.ndarray, model: np.ndarray, round_number: int, *,
        dropped: int = 0, reference: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the stack that the server receives, and the ids of the rows that were changed.

        Args:
            stack: float32 `(n, d)`, the updates as trained.
            ids: `(n,)` client ids of the rows.
            model: float32 `(d,)`, the global model that the round started from.
            round_number: counted from 1.
            dropped: clients of the round whose update was not finite.
            reference: the aggregate of the round before, where the rule starts from it.

        Returns:
            The stack, a new one if anything was crafted, and the ids `(c,)`.
        """
        attacking = np.isin(ids, self.malicious)
        if not self.due(round_number) or not attacking.any() or (
                self.obstacle(len(ids) + dropped, int(attacking.sum()))):
            return stack, ids[:0]
        columns = slice(None) if self.columns is None or self.columns.all() else self.columns
        own = stack[attacking]
        view = View(
            own[:, columns], model[columns], len(ids) + dropped,
            generator(self.seed, "attack", round_number),
            **self._knowledge(stack, ids, attacking, columns, round_number, dropped, reference))
        received, crafted = stack.copy(), own.copy()
        crafted[:, columns] = self.craft(view)
        changed = (crafted != own).any(axis=1)
        received[attacking] = crafted
        return received, ids[attacking][changed]

    def _knowledge(self, stack, ids, attacking, columns, round_number, dropped, reference) -> dict:
        """Returns the fields of the view that depend on what attackers know."""
        order = np.flatnonzero(attacking)
        known = {}
        if self.knowledge == "full":
            order = np.concatenate([np.flatnonzero(~attacking), order])
            known["benign"] = stack[~attacking][:, columns]
        if self.aggregate is not None:
            def aggregate(rows: np.ndarray) -> np.ndarray:
                whole = stack[order]
                whole[:, columns] = rows
                return self.aggregate(whole, ids[order], dropped, reference, round_number)[columns]

            known["aggregate"] = aggregate
        if self.select is not None:
            known["select"] = lambda distances, f: self.select(distances, f, dropped)
        if not isinstance(columns, slice):
            known["kept_apart"] = stack[order][:, ~columns]
        return known
