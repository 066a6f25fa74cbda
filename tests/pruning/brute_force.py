"""Slow, independent restatements that the tests of pruning compare with."""

from __future__ import annotations

import math

import numpy as np


def brute_force_saliency(kernel, bias, outgoing, allow_dead=False):
    """Returns S[i, j], the price of removing j and keeping i, one pair at a time."""
    kernel, bias, outgoing = (a.astype(np.float64) for a in (kernel, bias, outgoing))
    n = kernel.shape[1]
    table = np.full((n, n), math.inf)
    dead = [not allow_dead and not (outgoing[k].any() and (kernel[:, k].any() or bias[k]))
            for k in range(n)]
    for i in range(n):
        for j in range(n):
            if i == j or dead[i] or dead[j]:
                continue
            total = abs(bias[i] + bias[j])
            first = abs(bias[i] - bias[j]) / total if total else 0.0
            gap = math.sqrt(sum((float(a) - float(b)) ** 2
                                for a, b in zip(kernel[:, i], kernel[:, j])))
            table[i, j] = (first + gap) * math.sqrt(sum(float(a) ** 2 for a in outgoing[j]))
    return table


def brute_force_pairs(table, count, skip=0):
    """Returns the cheapest disjoint pairs (kept, removed), found by sorting all."""
    n = len(table)
    order = sorted((table[i, j], j, i) for j in range(n) for i in range(n)
                   if math.isfinite(table[i, j]))
    used, pairs = set(), []
    for _, j, i in order[skip:]:
        if len(pairs) < count and not {i, j} & used:
            used |= {i, j}
            pairs.append((i, j))
    return pairs
