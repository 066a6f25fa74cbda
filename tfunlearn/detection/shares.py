"""Shares of rounds in which a rule or filter leaves each client out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tfunlearn.aggregation.rule import RULES, Round, Rule
from tfunlearn.core.errors import UserError
from tfunlearn.core.seeds import generator
from tfunlearn.detection.clusters import gap_statistic, upper_cluster
from tfunlearn.detection.detector import Detector, ObservedRound, Server, all_alike

Choice = Callable[[ObservedRound, int], np.ndarray]


class ShareTracker:
    """Share of rounds in which each client was left out, clustered.

    If the gap statistic finds more than one cluster, the upper one of the best two is flagged,
    provided that it is a minority: a rule that keeps one update leaves out nearly all honest ones.
    Rounds in which all updates are alike leave nobody out.

    Args:
        choose: `(round, f) -> bool (n,)`, the mask of the kept updates.
        server: expects the number of malicious clients.
    """

    def __init__(self, choose: Choice, server: Server):
        self._choose, self._server, self._decided = choose, server, 0
        self._left_out: dict[int, list[bool]] = {}
        self._undecided: list[int] = []
        self._reason: UserError | None = None

    def add(self, seen: ObservedRound) -> None:
        """Take a round."""
        kept = np.ones(len(seen.ids), bool)
        if not all_alike(seen.updates):
            try:
                f = self._server.f(len(seen.ids) + seen.dropped) - seen.dropped
                kept = self._choose(seen, max(f, 0))
            except UserError as error:  # the rule keeps nobody, or has too few rows in this round
                self._undecided.append(seen.number)
                self._reason = error
            else:
                self._decided += 1
        for client, is_kept in zip(seen.ids.tolist(), kept):
            self._left_out.setdefault(client, []).append(not is_kept)

    def decide(self) -> tuple[Mapping[int, float], Iterable[int], Mapping[str, Any]]:
        """Return scores by id, flagged ids, and evidence."""
        if self._reason is not None and not self._decided:
            raise self._reason
        ids = sorted(self._left_out)
        shares = np.array([np.mean(self._left_out[k]) for k in ids])
        gap = gap_statistic(shares, 1 / max(map(len, self._left_out.values())))
        evidence: dict[str, Any] = dict(
            clusters=gap.clusters, gaps=list(gap.gaps), spreads=list(gap.spreads)
        )
        if self._undecided:
            evidence["undecided_rounds"] = self._undecided
        flagged: list[int] = []
        if gap.clusters > 1:
            upper = upper_cluster(shares)
            evidence["sizes"] = [int((~upper).sum()), int(upper.sum())]
            evidence["threshold"] = float(shares[upper].min())
            evidence["flags_upper"] = bool(2 * np.count_nonzero(upper) < len(upper))
            if evidence["flags_upper"]:
                flagged = [k for k, is_in in zip(ids, upper) if is_in]
        return dict(zip(ids, shares)), flagged, evidence


def share_detector(rule: str, **more: Any) -> Detector:
    """Return the detector of the rounds in which an aggregation rule leaves a client out.

    Args:
        rule: name of a rule that declares `keeps`.
        **more: further fields of the detector.
    """
    method: Rule = RULES[rule]

    def begin(own: Any, server: Server) -> ShareTracker:
        def choose(seen: ObservedRound, f: int) -> np.ndarray:
            rng = generator(server.seed, "draws of a detector", seen.number)
            given = Round(f=f, rng=rng, model=seen.model)
            if len(seen.ids) < method.least(f):
                raise UserError(
                    f"detector: {rule} needs {method.condition}; got n={len(seen.ids)}, f={f}"
                )
            assert method.keeps is not None
            return method.keeps(seen.updates, given, method.settings())

        return ShareTracker(choose, server)

    return Detector(
        name=rule,
        summary=f"share of rounds in which the rule {rule} leaves a client out, clustered",
        paper=method.paper,
        begin=begin,
        remarks=("rules with a fixed number of left-out updates also leave honest clients out",),
        **more,
    )
