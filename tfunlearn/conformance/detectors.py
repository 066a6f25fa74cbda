"""Contract of detectors, checked on rounds of a few clients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfunlearn.conformance.finding import Finding, findings_of
from tfunlearn.core.errors import UserError
from tfunlearn.detection import Detection, Detector, Server, Watch, observed

CLIENTS, SIZE, ROUNDS, ATTACKERS = 11, 17, 9, (3, 7)


def check_detector(detector: Detector, own: Any) -> list[Finding]:
    """Check a detector on Gaussian updates around a common direction, two of them reversed."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(SIZE)
    count = max(ROUNDS, detector.least_rounds(own))
    stacks = direction + 0.3 * rng.standard_normal((count, CLIENTS, SIZE))
    stacks[:, ATTACKERS] *= -4
    stacks = stacks.astype(np.float32)
    ids = np.arange(CLIENTS)

    def judge(model: np.ndarray, step: np.ndarray) -> tuple[float, float]:
        loss = float(np.square(model + step - 20 * direction).sum())
        return loss / 1e6, loss

    def run(updates: np.ndarray, order: np.ndarray = ids) -> Detection:
        means = np.nan_to_num(updates).mean(axis=1)
        models = np.concatenate([np.zeros((1, SIZE)), np.cumsum(means, axis=0)[:-1]])
        watch = Watch(detector, own, Server(lambda n: (n - 3) // 4, 0, judge))
        for seen in observed(updates, models, [order] * len(updates)):
            watch.add(seen)
        return watch.decide()

    first = run(stacks)

    def scores(_: Any) -> tuple:
        ok = first.ids == tuple(range(CLIENTS)) and set(first.flagged) <= set(first.ids)
        fine = all(score is None or np.isfinite(score) for score in first.scores)
        return ok and fine, f"{len(first.scores)} scores, flagged {list(first.flagged)}"

    def permutation(_: Any) -> tuple:
        order = rng.permutation(CLIENTS)
        found = run(stacks[:, order], order)
        worst = max(abs((a or 0) - (b or 0)) for a, b in zip(first.scores, found.scores))
        return found.flagged == first.flagged and worst < 1e-6, f"largest difference {worst:.2g}"

    def alike(_: Any) -> tuple:
        found = run(np.repeat(stacks[:, :1], CLIENTS, axis=1))
        return not found.flagged, f"flagged {list(found.flagged)} of identical updates"

    def broken(_: Any) -> tuple:
        bad = stacks.copy()
        bad[:, 5] = np.nan
        found = run(bad)
        return 5 in found.flagged, f"flagged {list(found.flagged)}; client 5 sends NaN"

    def few(_: Any) -> tuple:
        least = detector.least_rounds(own)
        if least < 2:
            return None, "not tested: one round is enough"
        try:
            run(stacks[: least - 1])
        except UserError as error:
            return str(least) in str(error) and "history" in str(error), str(error)
        return False, f"accepts {least - 1} rounds"

    def unchanged(_: Any) -> tuple:
        given = stacks.copy()
        run(given)
        return bool((given == stacks).all()), "the updates are not modified"

    return findings_of(
        {
            "one finite score per client": scores,
            "clients in any order": permutation,
            "identical updates": alike,
            "non-finite updates": broken,
            "too few rounds": few,
            "updates unchanged": unchanged,
        },
        None,
    )
