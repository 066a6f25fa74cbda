"""Reference implementations of all rules in plain Python: slow, to check the real ones."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

from tfunlearn.aggregation.rule import Round

Rows = Sequence[Sequence[float]]


def mean(rows: Rows, given: Round, own: Any) -> list[float]:
    weights = [1.0] * len(rows) if given.weights is None else [float(w) for w in given.weights]
    return [
        math.fsum(w * x for w, x in zip(weights, column)) / math.fsum(weights)
        for column in zip(*rows)
    ]


def trimmed_mean(rows: Rows, given: Round, own: Any) -> list[float]:
    return [
        statistics.fmean(sorted(column)[given.f : len(rows) - given.f]) for column in zip(*rows)
    ]


def median(rows: Rows, given: Round, own: Any) -> list[float]:
    middle = statistics.median_low if own.compat else statistics.median
    return [middle(column) for column in zip(*rows)]


def krum(rows: Rows, given: Round, own: Any) -> list[float]:
    return list(rows[_ranking(rows, given.f)[0]])


def multi_krum(rows: Rows, given: Round, own: Any) -> list[float]:
    count = own.selected or len(rows) - given.f - 2
    return mean([rows[i] for i in _ranking(rows, given.f)[:count]], Round(), None)


def bulyan(rows: Rows, given: Round, own: Any) -> list[float]:
    left, picked = list(rows), []
    theta = len(rows) - 2 * given.f
    while len(picked) < theta:
        picked.append(left.pop(_ranking(left, given.f)[0]))
    result = []
    for column in zip(*picked):
        center = statistics.median(column)
        near = sorted(column, key=lambda value: (abs(value - center), value))
        result.append(statistics.fmean(near[: theta - 2 * given.f]))
    return result


def geometric_median(rows: Rows, given: Round, own: Any) -> list[float]:
    return _weiszfeld(rows, given, own.passes or 20_000)


def rfa(rows: Rows, given: Round, own: Any) -> list[float]:
    return _weiszfeld(rows, given, own.passes or 3)


def centered_clipping(rows: Rows, given: Round, own: Any) -> list[float]:
    center = [0.0] * len(rows[0]) if given.reference is None else list(given.reference)
    for _ in range(own.passes or 1):
        moves = []
        for row in rows:
            offset = [x - v for x, v in zip(row, center)]
            length = math.hypot(*offset)
            factor = min(1.0, (own.clip or 10.0) / length) if length else 1.0
            moves.append([factor * o for o in offset])
        center = [v + m for v, m in zip(center, mean(moves, Round(), None))]
    return center


def norm_bound(rows: Rows, given: Round, own: Any) -> list[float]:
    norms = [math.hypot(*row) for row in rows]
    bound = own.clip or statistics.median(norms)
    shortened = [
        [x * min(1.0, bound / norm) if norm else x for x in row] for row, norm in zip(rows, norms)
    ]
    return mean(shortened, given, None)


def fltrust(rows: Rows, given: Round, own: Any) -> list[float]:
    trusted = [float(x) for x in given.reference]
    length, total = math.hypot(*trusted), 0.0
    result = [0.0] * len(trusted)
    for row in rows:
        norm = math.hypot(*row)
        if not norm or not length:
            continue
        trust = max(0.0, sum(x * g for x, g in zip(row, trusted)) / (norm * length))
        total += trust
        result = [r + trust * length / norm * x for r, x in zip(result, row)]
    return [r / total for r in result] if total else result


def _ranking(rows: Rows, f: int) -> list[int]:
    """Return the row indices sorted by Krum score; ties in row order."""
    neighbors = max(len(rows) - f - 2, 1)
    scores = []
    for i, row in enumerate(rows):
        others = sorted(math.dist(row, other) ** 2 for j, other in enumerate(rows) if j != i)
        scores.append(math.fsum(others[:neighbors]))
    return sorted(range(len(rows)), key=lambda i: scores[i])


def _weiszfeld(rows: Rows, given: Round, passes: int) -> list[float]:
    weights = [1.0] * len(rows) if given.weights is None else [float(w) for w in given.weights]
    point = mean(rows, Round(weights=weights), None)
    for _ in range(passes):
        pulls = [w / max(1e-6, math.dist(row, point)) for w, row in zip(weights, rows)]
        new = mean(rows, Round(weights=pulls), None)
        if math.dist(new, point) == 0:
            break
        point = new
    return point


def meamed(rows: Rows, given: Round, own: Any) -> list[float]:
    result = []
    for column in zip(*rows):
        center = statistics.median(column)
        near = sorted(column, key=lambda value: (abs(value - center), value))
        result.append(statistics.fmean(near[: len(rows) - given.f]))
    return result


def mda(rows: Rows, given: Round, own: Any) -> list[float]:
    def diameter(chosen: tuple[int, ...]) -> float:
        return max(
            (math.dist(rows[i], rows[j]) for i, j in itertools.combinations(chosen, 2)), default=0.0
        )

    sums = [math.fsum(math.dist(row, other) ** 2 for other in rows) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: sums[row])  # min takes the first of equals
    best = min(itertools.combinations(order, len(rows) - given.f), key=diameter)
    return mean([rows[i] for i in best], Round(), None)


def rlr(rows: Rows, given: Round, own: Any) -> list[float]:
    threshold = given.f + 1 if own.sign_threshold is None else own.sign_threshold
    signs = [abs(sum((x > 0) - (x < 0) for x in column)) for column in zip(*rows)]
    means = mean(rows, given, None)
    return [value if sign >= threshold else -value for value, sign in zip(means, signs)]


def smea(rows: Rows, given: Round, own: Any) -> list[float]:
    import numpy as np

    def largest(chosen: tuple[int, ...]) -> float:
        part = np.array([rows[i] for i in chosen])
        return float(np.linalg.eigvalsh(np.atleast_2d(np.cov(part.T, bias=True)))[-1])

    best = min(itertools.combinations(range(len(rows)), len(rows) - given.f), key=largest)
    return mean([rows[i] for i in best], Round(), None)
