"""Slow, independent restatements that the tests of pruning compare with."""

from __future__ import annotations

import math

import numpy as np


def brute_force_saliency(kernel, bias, outgoing, allow_dead=False):
    """Returns S[i, j], the price of removing j and keeping i, one pair at a time."""
    kernel, bias, outgoing = (a.astype(np.float64) for a in (kernel, bias, outgoing))
    n = kernel.shape[1]
    table = np.full((n, n), math.inf)
    dead = [
        not allow_dead and not (outgoing[k].any() and (kernel[:, k].any() or bias[k]))
        for k in range(n)
    ]
    for i in range(n):
        for j in range(n):
            if i == j or dead[i] or dead[j]:
                continue
            total = abs(bias[i] + bias[j])
            first = abs(bias[i] - bias[j]) / total if total else 0.0
            gap = math.sqrt(
                sum((float(a) - float(b)) ** 2 for a, b in zip(kernel[:, i], kernel[:, j]))
            )
            table[i, j] = (first + gap) * math.sqrt(sum(float(a) ** 2 for a in outgoing[j]))
    return table


def brute_force_pairs(table, count, skip=0):
    """Returns the cheapest disjoint pairs (kept, removed), found by sorting all."""
    n = len(table)
    order = sorted(
        (table[i, j], j, i) for j in range(n) for i in range(n) if math.isfinite(table[i, j])
    )
    used, pairs = set(), []
    for _, j, i in order[skip:]:
        if len(pairs) < count and not {i, j} & used:
            used |= {i, j}
            pairs.append((i, j))
    return pairs


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def brute_force_entropy(intervals):
    """Returns the entropy over groups of similar intervals, one pair of outputs at a time."""
    extent = max(0, max(hi for _, hi in intervals)) - min(0, min(lo for lo, _ in intervals))
    extent = extent or 0.001
    total = 0.0
    for lo, hi in intervals:
        alike = sum(
            1 - 0.5 * (abs(lo - low) + abs(hi - high)) / extent >= 0.9 for low, high in intervals
        )
        total -= alike / len(intervals) * math.log(alike / len(intervals))
    return total


def affine(intervals, kernel, bias):
    """Returns the intervals behind a Dense layer without its activation."""
    result = []
    for k in range(kernel.shape[1]):
        low = high = float(bias[k])
        for (lo, hi), weight in zip(intervals, kernel[:, k].tolist()):
            low += (
                min(weight * lo, weight * hi)
                if lo <= hi
                else (weight * lo if weight > 0 else weight * hi)
            )
            high += (
                max(weight * lo, weight * hi)
                if lo <= hi
                else (weight * hi if weight > 0 else weight * lo)
            )
        result.append((low, high))
    return result


def times(interval, weight):
    lo, hi = (end * weight for end in interval)
    return (lo, hi) if weight >= 0 else (hi, lo)


def published_steps(weights, relus, fraction, first=(0.0, 1.0), alpha=0.75, beta=0.25):
    """Prunes a chain of Dense layers as the published code does, with plain loops.

    Args:
        weights: kernel, bias, kernel, bias, ... (float64); overwritten.
        relus: for each layer whether its activation is ReLU.

    Returns:
        For each layer but the last a list of (kept, removed, saliency, l1, entropy, score, chosen).
    """
    depth, found = len(relus), []
    for layer in range(depth - 1):
        kernel, bias, outgoing = weights[2 * layer], weights[2 * layer + 1], weights[2 * layer + 2]
        table = brute_force_saliency(kernel, bias, outgoing, allow_dead=True)
        need = math.ceil(fraction * kernel.shape[1])
        units = [first if layer == 0 else (0.0, 1.0)] * weights[0].shape[1]
        for number in range(1, layer + 1):
            units = [
                (0.0, hi) if relus[number] else (sigmoid(lo), sigmoid(hi))
                for lo, hi in affine(units, weights[2 * number], weights[2 * number + 1])
            ]
        rows = []
        for row, column in brute_force_pairs(table, 2 * need, skip=1):
            a, b = column, row
            moves = [
                times((units[a][0] - units[b][1], units[a][1] - units[b][0]), weight)
                for weight in outgoing[a].tolist()
            ]
            for number in range(layer + 2, depth):
                moves = affine(moves, weights[2 * number], weights[2 * number + 1])
                if number < depth - 1:
                    moves = [
                        (max(lo, 0), max(hi, 0))
                        if relus[number - 1]
                        else (sigmoid(lo), sigmoid(hi))
                        for lo, hi in moves
                    ]
            l1 = sum(hi - lo for lo, hi in moves)
            entropy = brute_force_entropy(moves)
            rows.append(
                [
                    a,
                    b,
                    table[row, column],
                    l1,
                    entropy,
                    alpha * sigmoid(l1) + beta * sigmoid(entropy),
                ]
            )
        order = sorted(range(len(rows)), key=lambda k: rows[k][5])[:need]
        found.append([(*row, k in order) for k, row in enumerate(rows)])
        for a, b, *_, chosen in found[-1]:
            if chosen:
                outgoing[a] += outgoing[b]
                outgoing[b] = 0
    return found
