"""Comparison of an aggregation rule on arrays with the same rule inside TFF."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfunlearn.aggregation import RULES, Aggregator
from tfunlearn.core.lazy import tff
from tfunlearn.engines.tff.factories import rule_factory
from tfunlearn.engines.tff.worker import local_worker

ROUNDS, SIZE = 3, 17


def different_rounds(name: str) -> int:
    """Return in how many of `ROUNDS` rounds a built-in rule gives other bits inside TFF.

    The last round has an update that is not finite.
    """
    rule, different = RULES[name], 0
    f = 2
    clients = max(11, rule.least(f))
    settings: dict[str, Any] = {"clip": 1.0} if "clip" in RULES.fields(name) else {}
    aggregator = Aggregator(name, f, **settings)
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 100, clients).astype(np.float32)
    reference = rng.standard_normal(SIZE).astype(np.float32) if rule.reference else None
    with local_worker():
        factory: Any = rule_factory(aggregator, clients=clients)
        process = factory.create(tff.TensorType(np.float32, [SIZE]), tff.TensorType(np.float32))
        state = process.initialize()
        if rule.reference:
            state["reference"] = reference
        for number in range(1, ROUNDS + 1):
            updates = rng.standard_normal((clients, SIZE)).astype(np.float32)
            if number == ROUNDS:
                updates[4, 3] = np.nan
            output = process.next(state, list(updates), list(weights))
            expected = aggregator(
                updates, weights=weights, reference=reference, round_number=number
            )
            different += output.result.tobytes() != expected.tobytes()
            state = output.state
            if rule.reference == "previous":
                reference = expected
    return different
