"""Bucketing, a pre-aggregation step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.rule import PreAggregator
from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import shuffle


def bucketing(updates, *, size: int = 2, seed: int, round_number=0):
    """Return the mean of each bucket of randomly assigned rows.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
        size: rows per bucket, >= 1; default 2. The last bucket may hold fewer. One malicious row
            makes its bucket malicious: the following rule must tolerate the same f among fewer
            rows.
        seed: 0 to 2**31; determines the assignment together with `round_number`.
        round_number: round, 0 to 2**31, an integer or a tensor; default 0.

    Returns:
        float32 `(ceil(n / size), d)`.

    Raises:
        UserError: no finite row, `size` below 1, or `seed` or `round_number` out of range.

    Reference:
        Karimireddy et al., "Byzantine-robust learning on heterogeneous datasets via bucketing",
        ICLR 2022 (arXiv 2006.09365).
    """
    require_whole("size", size, 1)
    if isinstance(round_number, (int, np.integer)):  # otherwise a tensor
        require_whole("round_number", round_number, 0, 2**31)
    require_whole("seed", seed, 0, 2**31)
    stack = finite_stack(updates)
    xp, n = stack.ops.xp, stack.n
    bucket = shuffle(xp, stack.ops.positions(n), seed, round_number) // size
    buckets = (n + size - 1) // size
    members = xp.equal(bucket[None, :], stack.ops.positions(buckets)[:, None])
    return stack.ops.mix(members, stack.rows)


@dataclass(frozen=True)
class BucketingSettings:
    """Settings of bucketing."""

    bucket_size: int = option(2, "Updates per bucket.")

    def __post_init__(self):
        require_whole("bucket_size", self.bucket_size, 1)


BUCKETING = PreAggregator(
    name="bucketing",
    summary="updates are averaged in random buckets",
    paper="Karimireddy et al., ICLR 2022, arXiv 2006.09365",
    settings=BucketingSettings,
    apply=lambda updates, given, own, seed, number: bucketing(
        updates, size=own.bucket_size, seed=seed, round_number=number
    ),
    condition="n >= 2f + 1",
    rows_left=lambda n, own: -(-n // own.bucket_size),
)
