"""FoolsGold as a detector: clients whose summed updates point the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.aggregation.foolsgold import foolsgold_weights
from tfunlearn.core.blocks import cosines, gram
from tfunlearn.core.errors import require_real
from tfunlearn.core.fields import option
from tfunlearn.detection.detector import Detector, ObservedRound


@dataclass(frozen=True)
class FoolsGoldSettings:
    """Settings of FoolsGold."""

    kappa: float = option(1.0, "Confidence of foolsgold.")

    def __post_init__(self):
        require_real("kappa", self.kappa, lambda value: value > 0, "a number > 0")


class _Tracker:
    def __init__(self, own: FoolsGoldSettings):
        self._own, self._sums = own, {}

    def add(self, seen: ObservedRound) -> None:
        for client, update in zip(seen.ids.tolist(), seen.updates):
            if client in self._sums:
                self._sums[client] += update
            else:
                self._sums[client] = update.astype(np.float64)

    def decide(self) -> tuple[Mapping[int, float], Iterable[int], Mapping[str, Any]]:
        ids = sorted(self._sums)
        similar = cosines(gram(np.stack([self._sums[k] for k in ids])))
        weights = foolsgold_weights(similar, kappa=self._own.kappa)
        np.fill_diagonal(similar, 0)
        evidence = {"largest_cosines": [float(value) for value in similar.max(axis=1)]}
        flagged = [k for k, weight in zip(ids, weights) if weight == 0]
        return dict(zip(ids, 1 - weights)), flagged, evidence


FOOLSGOLD = Detector(
    name="foolsgold",
    summary="clients whose summed updates are similar to each other's (sybils)",
    paper="Fung et al., RAID 2020, arXiv 1808.04866",
    settings=FoolsGoldSettings,
    begin=lambda own, server: _Tracker(own),
    remarks=("honest clients with equally distributed data look like sybils",),
)
