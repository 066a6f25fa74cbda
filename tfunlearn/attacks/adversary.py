"""Stage between clients and server that replaces malicious updates by crafted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import KNOWLEDGE
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.errors import choose
from tfunlearn.core.seeds import generator


@dataclass(frozen=True)
class Adversary:
    """The adversary that crafts the updates of a round's malicious clients.

    Attributes:
        craft: the attack, `AdversaryView -> (c, d)`.
        malicious: ids of all malicious clients.
        due: attack schedule, `round -> bool`.
        seed: the run's seed.
        knowledge: `"partial"` (default): malicious clients see their own updates and the global
            model; `"full"`: the updates of all clients as well. In both cases they know the
            server's rule.
        aggregate: the server's rule, `(stack, ids, dropped, reference, round, model) -> (d,)`;
            default the mean.
        select: the selection step of the server's rule, `(squared distances, f or None, dropped)
            -> bool (n,)`, see `AdversaryView`.
        infeasible_reason: `(clients, malicious clients) -> reason or None`; a round with a reason
            is not attacked, which can happen if clients are sampled.
        columns: bool `(d,)`, mask of the attacked coordinates; default all. Runs exclude the
            statistics of normalization layers, since variances must stay positive.
    """

    craft: Callable[[AdversaryView], np.ndarray]
    malicious: np.ndarray
    due: Callable[[int], bool]
    seed: int
    knowledge: str = "partial"
    aggregate: Callable | None = None
    select: Callable | None = None
    columns: np.ndarray | None = None
    infeasible_reason: Callable[[int, int], str | None] = lambda clients, malicious: None

    def __post_init__(self):
        choose("knowledge", self.knowledge, KNOWLEDGE)

    def __call__(
        self,
        stack: np.ndarray,
        ids: np.ndarray,
        model: np.ndarray,
        round_number: int,
        *,
        dropped: int = 0,
        reference: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the stack that the server receives, and the ids of the changed rows.

        Args:
            stack: float32 `(n, d)`, the updates as trained.
            ids: `(n,)` client ids of the rows.
            model: float32 `(d,)`, the global model at the start of the round.
            round_number: round, counted from 1.
            dropped: number of clients of the round whose update was not finite.
            reference: the previous aggregate, if the rule starts from it.

        Returns:
            The stack, a new one if the round is attacked, and the ids of the changed rows, at most
            `(c,)`.
        """
        attacking = np.isin(ids, self.malicious)
        if (
            not self.due(round_number)
            or not attacking.any()
            or (self.infeasible_reason(len(ids) + dropped, int(attacking.sum())))
        ):
            return stack, ids[:0]
        columns = slice(None) if self.columns is None or self.columns.all() else self.columns
        own = stack[attacking]
        view = AdversaryView(
            own[:, columns],
            model[columns],
            len(ids) + dropped,
            generator(self.seed, "attack", round_number),
            **self._knowledge(
                stack, ids, attacking, columns, round_number, dropped, reference, model
            ),
        )
        received, crafted = stack.copy(), own.copy()
        crafted[:, columns] = self.craft(view)
        changed = (crafted != own).any(axis=1)
        received[attacking] = crafted
        return received, ids[attacking][changed]

    def _knowledge(
        self, stack, ids, attacking, columns, round_number, dropped, reference, model
    ) -> dict:
        """Return the fields of the view that depend on the adversary's knowledge."""
        order = np.flatnonzero(attacking)
        known = {}
        if self.knowledge == "full":
            order = np.concatenate([np.flatnonzero(~attacking), order])
            known["benign"] = stack[~attacking][:, columns]
        rule, select = self.aggregate, self.select
        if rule is not None:

            def aggregate(rows: np.ndarray) -> np.ndarray:
                whole = stack[order]
                whole[:, columns] = rows
                return rule(whole, ids[order], dropped, reference, round_number, model)[columns]

            known["aggregate"] = aggregate
        if select is not None:
            known["select"] = lambda distances, f: select(distances, f, dropped)
        if not isinstance(columns, slice):
            known["kept_apart"] = stack[order][:, ~columns]
        return known
