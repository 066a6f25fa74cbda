"""Grades of detectors against the clients that really attacked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.detection.detector import Detection

Flags = list[tuple[int, tuple[int, ...]]]  # rounds, and who was flagged after each


@dataclass(frozen=True)
class Grade:
    """Grade of a detection.

    Attributes:
        precision: share of malicious clients among the flagged ones; None if nobody is flagged.
        recall: share of the malicious clients that are flagged; None without an attack.
        f1: harmonic mean of both; None without an attack.
        auc: probability that a malicious client has a higher score than a benign one, ties by
            half; None without clients of both kinds.
        false_alarms: number of benign clients that are flagged.
        benign: number of benign clients.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    false_alarms: int
    benign: int


def grade(found: Detection, malicious: Collection[int]) -> Grade:
    """Return the grade of a detection.

    Args:
        found: the findings.
        malicious: ids of the clients that attacked; empty for a run without an attack.
    """
    attackers = set(map(int, malicious)) & set(found.ids)
    hits = len(attackers & set(found.flagged))
    precision = hits / len(found.flagged) if found.flagged else None
    recall = hits / len(attackers) if attackers else None
    total = len(found.flagged) + len(attackers)
    scored = [(k in attackers, s) for k, s in zip(found.ids, found.scores) if s is not None]
    return Grade(
        precision,
        recall,
        2 * hits / total if attackers else None,
        auc([s for bad, s in scored if bad], [s for bad, s in scored if not bad]),
        len(found.flagged) - hits,
        len(found.ids) - len(attackers),
    )


def auc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """Return the share of pairs in which the first value is higher, ties by half; None of none."""
    if not len(higher) or not len(lower):
        return None
    above = np.asarray(higher, float)[:, None] - np.asarray(lower, float)[None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def lasting_since(flags: Flags, malicious: Collection[int]) -> int | None:
    """Return the first round from which on all attackers stay flagged, None if there is none.

    Args:
        flags: round and flagged ids, one after the other.
        malicious: ids of the clients that attacked.
    """
    since = None
    for number, flagged in flags:
        if malicious and set(malicious) <= set(flagged):
            since = number if since is None else since
        else:
            since = None
    return since
