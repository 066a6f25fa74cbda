"""ERR, LFR and their union: rejection of updates that increase error or loss on server data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.aggregation import EXPECTED_SHARES, Aggregator
from tfunlearn.aggregation.leave_one_out import without_each
from tfunlearn.core.errors import UserError, choose, refuse, require, require_count_or_fraction
from tfunlearn.core.fields import option
from tfunlearn.core.vectors import to_vector
from tfunlearn.defenses.defense import UpdateDefense

CRITERIA = {"err": ("error",), "lfr": ("loss",), "union": ("error", "loss")}


@dataclass(frozen=True)
class Rejection:
    """Rejection of the clients whose removal most improves the aggregate on validation examples.

    A is the aggregate of all clients and B_i the aggregate without client i, both by the server's
    rule. `err` rejects the c clients with the largest `error(A) - error(B_i)`, `lfr` those with
    the largest `loss(A) - loss(B_i)`, `union` those rejected by either.

    Attributes:
        by: `"err"`, `"lfr"` or `"union"`.
        aggregator: the server's aggregation rule.
        judge: `(weights, step (d,)) -> (error rate, cross-entropy)` of the global model moved by
            an aggregate, on validation examples held only by the server (100 in the paper).
        count: c, clients to reject: a count, a fraction (float) of the round's clients, rounded to
            the nearest count, or None for the aggregator's `byzantine`. Clients that were already
            dropped are part of the c.
        compat: `"flap"`: reject one client per criterion, the one whose removal worsens the plain
            mean most, as FLAP's published code intends; default None, as in the paper.

    Raises:
        UserError: an unknown name, or `count` together with `compat`.

    Reference:
        Fang et al., USENIX Security 2020 (arXiv 1911.11815), section 5.
    """

    by: str
    aggregator: Aggregator
    judge: Callable[[Any, np.ndarray], tuple[float, float]]
    count: int | float | None = None
    compat: str | None = None

    def __post_init__(self):
        choose("defense", self.by, CRITERIA)
        require("compat", self.compat, self.compat in (None, "flap"), "None or 'flap'")
        refuse(
            "reject",
            self.count,
            self.count is None or not self.compat,
            "with compat flap, which rejects one client by each criterion",
        )

    def rejected_of(self, clients: int) -> int:
        """Return c for a round with `clients` clients."""
        if self.compat:
            return min(1, clients - 1)
        count = self.aggregator.byzantine if self.count is None else self.count
        count = EXPECTED_SHARES[count] if isinstance(count, str) else count
        return int(np.floor(count * clients + 0.5)) if isinstance(count, float) else count

    def check(self, clients: int) -> None:
        """Check that the rule is valid without any one client and without all rejected clients.

        Raises:
            UserError: it is not valid, c is below 1, or no client might be left.
        """
        count = self.rejected_of(clients)
        require("reject", count, count >= 1, f"at least 1 of {clients} clients with {self.by}")
        most = len(CRITERIA[self.by]) * count
        if most >= clients:
            raise UserError(
                f"reject: {self.by} must reject fewer than all {clients} clients of a round; "
                f"got {most}"
            )
        if not self.compat:
            self.aggregator.check(
                clients - 1,
                f=self.aggregator.f(clients),
                field=f"{self.by}, with one client left out",
            )
        self.aggregator.check(clients - most, field=f"{self.by}, with up to {most} rejected")

    def __call__(
        self,
        model: list[np.ndarray] | np.ndarray,
        updates: np.ndarray,
        *,
        weights: np.ndarray,
        dropped: int = 0,
        reference: np.ndarray | None = None,
        round_number: int = 1,
    ) -> np.ndarray:
        """Return the mask of the kept rows, bool `(n,)`.

        Args:
            model: the global weights at the start of the round, as arrays or one vector `(d,)`;
                the judge receives them as they are.
            updates: float32 `(n, d)`, finite.
            weights: examples per client `(n,)`.
            dropped: number of clients already dropped; each uses up one of the f and one of the c.
            reference, round_number: see `Aggregator`.
        """
        n = len(updates)
        count = min(self.rejected_of(n + dropped) - dropped, n - 1)
        if count < 1:
            return np.ones(n, bool)
        rule = Aggregator() if self.compat else self.aggregator
        steps = without_each(
            rule,
            updates,
            weights=None if self.compat else weights,
            reference=reference,
            round_number=round_number,
            f=max(rule.f(n + dropped) - dropped, 0),
            model=model if isinstance(model, np.ndarray) else to_vector(model),
        )
        errors, losses = np.array([self.judge(model, step) for step in steps]).T
        return keep(errors, losses, by=self.by, count=count, compat=self.compat)


def keep(
    errors: np.ndarray,
    losses: np.ndarray,
    *,
    by: str,
    count: int,
    compat: str | None = None,
) -> np.ndarray:
    """Return the mask of the kept clients, bool `(n,)`; at least one is kept.

    Args:
        errors: error rate of the aggregate without each client, `(n,)`.
        losses: cross-entropy of the aggregate without each client, `(n,)`.
        by: `"err"`, `"lfr"` or `"union"`.
        count: c >= 1, number of clients to reject by each criterion. Ties in error are broken by
            lower loss (higher loss with `compat`), ties in loss by client order.
        compat: see `Rejection`.
    """
    sign = -1 if compat else 1
    losses = np.where(np.isfinite(losses), losses, np.inf)
    orders = {
        "error": np.lexsort((sign * losses, sign * errors)),
        "loss": np.argsort(sign * losses, kind="stable"),
    }
    kept = np.ones(len(errors), bool)
    for criterion in CRITERIA[by]:
        kept[orders[criterion][:count]] = False
    if not kept.any():
        kept[orders[CRITERIA[by][-1]][-1]] = True
    return kept


@dataclass(frozen=True)
class RejectionSettings:
    """Settings of the rejection defenses."""

    reject: int | float | None = option(
        None,
        "Clients rejected per round and criterion: a count, or a fraction; none: as byzantine.",
    )
    compat: str | None = option(
        None,
        "flap: ERR and LFR with the sign inverted, one client each, as in FLAP's published code.",
    )

    def __post_init__(self):
        if self.reject is not None:
            require_count_or_fraction("reject", self.reject)
        require("compat", self.compat, self.compat in (None, "flap"), "None or 'flap'")


_PAPER = "Fang et al., USENIX Security 2020, arXiv 1911.11815"
ERR = UpdateDefense(
    name="err",
    summary="rejects updates that increase error on a server-held validation set",
    paper=_PAPER,
    settings=RejectionSettings,
    criteria=CRITERIA["err"],
)
LFR = UpdateDefense(
    name="lfr",
    summary="rejects updates that increase loss on a server-held validation set",
    paper=_PAPER,
    settings=RejectionSettings,
    criteria=CRITERIA["lfr"],
)
UNION = UpdateDefense(
    name="union",
    summary="rejects updates that ERR or LFR rejects",
    paper=_PAPER,
    settings=RejectionSettings,
    criteria=CRITERIA["union"],
)
