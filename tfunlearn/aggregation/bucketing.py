"""Bucketing, a step before a rule."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.errors import require_whole
from tfunlearn.core.seeds import shuffled


def bucketing(updates, *, size: int = 2, seed: int, round_number=0):
    """Returns the means of the rows in random buckets.

    Args:
        updates: float32 `(n, d)`, an array or a tensor; rows that are not finite are left out.
        size: rows in a bucket, >= 1; default 2. The last bucket may hold fewer. A bucket with one
            malicious row is malicious: the rule behind must withstand as many as before, of fewer.
        seed: decides the order, 0 to 2**31, together with
        round_number: the round; default 0. It may be a tensor.

    Returns:
        float32 `(ceil(n / size), d)`.

    Raises:
        UserError: no finite row, or `size` below 1.

    Reference:
        Karimireddy et al., "Byzantine-robust learning on heterogeneous datasets via bucketing",
        ICLR 2022 (arXiv 2006.09365).
    """
    require_whole("size", size, 1)
    if isinstance(round_number, (int, np.integer)):  # else a tensor
        require_whole("round_number", round_number, 0, 2**31)
    require_whole("seed", seed, 0, 2**31)
    stack = finite_stack(updates)
    xp, n = stack.ops.xp, stack.n
    bucket = shuffled(xp, stack.ops.positions(n), seed, round_number) // size
    buckets = (n + size - 1) // size
    members = xp.equal(bucket[None, :], stack.ops.positions(buckets)[:, None])
    return stack.ops.mix(members, stack.rows)
