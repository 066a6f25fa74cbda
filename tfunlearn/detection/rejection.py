"""Detectors by the updates that raise error (ERR) or loss (LFR) on the server's examples."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.defenses.rejection import Rejection
from tfunlearn.detection.detector import Detector, ObservedRound, Server
from tfunlearn.detection.shares import ShareTracker

PAPER = "Fang et al., USENIX Security 2020, arXiv 1911.11815"


def _begin(by: str, server: Server) -> ShareTracker:
    judge = server.judge
    assert judge is not None  # required before

    def choose(seen: ObservedRound, f: int) -> np.ndarray:
        rejection = Rejection(by, Aggregator("mean", f), judge, f)
        ones = np.ones(len(seen.ids))
        return rejection(seen.model, seen.updates, weights=ones, round_number=seen.number)

    return ShareTracker(choose, server)


ERR = Detector(
    name="err",
    summary="share of rounds in which ERR rejects a client, clustered",
    paper=PAPER,
    begin=lambda own, server: _begin("err", server),
    needs_judge=True,
)
LFR = Detector(
    name="lfr",
    summary="share of rounds in which LFR rejects a client, clustered",
    paper=PAPER,
    begin=lambda own, server: _begin("lfr", server),
    needs_judge=True,
)
