"""How often unlearning may happen, so that false alarms cannot wear a federation down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfunlearn.core.errors import require_whole


@dataclass(frozen=True)
class Decision:
    """What to do with flagged clients.

    Attributes:
        unlearn: ids to unlearn now; empty while waiting.
        pending: ids that wait; they are not aggregated meanwhile.
        wait: rounds until the next unlearning is allowed, 0 for now.
    """

    unlearn: tuple[int, ...]
    pending: tuple[int, ...]
    wait: int


@dataclass(frozen=True)
class RateLimiter:
    """Lets two unlearning events be no closer than a number of rounds.

    Attributes:
        least: the number T, >= 0; default 10; 0 lets every request through at once.

    Reference:
        Romandini et al., "FedUP" (arXiv 2508.13853); the paper's T is not known, 10 is chosen.
    """

    least: int = 10

    def __post_init__(self):
        require_whole("rate_limit", self.least, 0)

    def decide(
        self, round_number: int, last: int | None, flagged: Iterable[int],
        pending: Iterable[int] = (),
    ) -> Decision:
        """Returns what to do at the end of a round.

        Args:
            round_number: the round that has just ended.
            last: the round of the last unlearning; None if there was none.
            flagged: ids flagged now.
            pending: ids flagged earlier that still wait.
        """
        ids = tuple(sorted({*flagged, *pending}))
        wait = 0 if last is None else max(0, self.least - (round_number - last))
        return Decision((), ids, wait) if wait else Decision(ids, (), 0)
