"""Rate limit of unlearning, so that false alarms do not degrade the federation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfunlearn.core.errors import require_whole


@dataclass(frozen=True)
class Decision:
    """Decision on flagged clients.

    Attributes:
        unlearn: ids of clients to unlearn now; empty while waiting.
        pending: ids of clients that wait; their updates are not aggregated in the meantime.
        wait: rounds until the next unlearning is allowed, 0 if it is allowed now.
    """

    unlearn: tuple[int, ...]
    pending: tuple[int, ...]
    wait: int


@dataclass(frozen=True)
class RateLimiter:
    """Enforce a minimum number of rounds between two unlearning events.

    Attributes:
        least: minimum number of rounds T, >= 0; default 10; with 0, requests are never delayed.

    Reference:
        Romandini et al., "FedUP" (arXiv 2508.13853); the paper's T is not known, the default is
        this project's choice.
    """

    least: int = 10

    def __post_init__(self):
        require_whole("rate_limit", self.least, 0)

    def decide(
        self,
        round_number: int,
        last: int | None,
        flagged: Iterable[int],
        pending: Iterable[int] = (),
    ) -> Decision:
        """Return the decision at the end of a round.

        Args:
            round_number: the round that has just ended.
            last: the round of the last unlearning; None if there was none.
            flagged: ids of clients flagged now.
            pending: ids of clients flagged earlier that still wait; default none.
        """
        ids = tuple(sorted({*flagged, *pending}))
        wait = 0 if last is None else max(0, self.least - (round_number - last))
        return Decision((), ids, wait) if wait else Decision(ids, (), 0)
