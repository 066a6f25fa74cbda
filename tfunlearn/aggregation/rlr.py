"""Robust learning rate (RLR): coordinates without agreement on the sign go backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.mean import mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack
from tfunlearn.core.blocks import for_blocks
from tfunlearn.core.errors import require_whole
from tfunlearn.core.fields import option


def rlr(updates, *, f: int = 0, sign_threshold: int | None = None, weights=None):
    """Return the weighted mean, negated where the signs of the rows agree too little.

        mean_j where |sum_i sign(x_ij)| >= theta, else -mean_j

    Args:
        updates: float32 `(n, d)`, an array; non-finite rows are dropped.
        f: number of malicious rows to tolerate; only for the default of the threshold.
        sign_threshold: theta >= 0; default f + 1, the least that f rows alone do not reach.
        weights: `(n,)` examples per client; default equal.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, or an argument out of range.

    Reference:
        Ozdayi, Kantarcioglu and Gel, "Defending against backdoors in federated learning with robust
        learning rate", AAAI 2021 (arXiv 2007.03767).
    """
    stack = finite_stack(updates, weights=weights)
    threshold = check_f(f, stack) + 1 if sign_threshold is None else sign_threshold
    require_whole("sign_threshold", threshold, 0)
    result = np.array(mean(stack.rows, weights=stack.weights))

    def block(first: int, last: int) -> None:
        agreement = np.abs(np.sign(stack.rows[:, first:last]).sum(axis=0))
        result[first:last] *= np.where(agreement >= threshold, 1, -1).astype(np.float32)

    for_blocks(block, stack.rows)
    return result + np.float32(0)  # turns -0 into 0


@dataclass(frozen=True)
class RLRSettings:
    """Settings of the robust learning rate."""

    sign_threshold: int | None = option(
        None, "Least sum of signs for a step forwards; none: f + 1."
    )

    def __post_init__(self):
        if self.sign_threshold is not None:
            require_whole("sign_threshold", self.sign_threshold, 0)


RLR = Rule(
    name="rlr",
    summary="mean, backwards where the signs of the updates agree too little",
    paper="Ozdayi et al., AAAI 2021, arXiv 2007.03767",
    settings=RLRSettings,
    apply=lambda updates, given, own: rlr(
        updates, f=given.f, sign_threshold=own.sign_threshold, weights=given.weights
    ),
    weighted=True,
    needs_arrays=lambda own: "rule",
    translates=False,
    averages={"sign_threshold": 0},
    oracle=oracles.rlr,
)
