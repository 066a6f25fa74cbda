"""Reference implementations of all rules in plain Python: slow, to check the real ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from tfunlearn.aggregation.rules import Call

Rows = Sequence[Sequence[float]]


def mean(rows: Rows, call: Call) -> list[float]:
    weights = [1.0] * len(rows) if call.weights is None else [float(w) for w in call.weights]
    return [math.fsum(w * x for w, x in zip(weights, column)) / math.fsum(weights)
            for column in zip(*rows)]


def trimmed_mean(rows: Rows, call: Call) -> list[float]:
    return [statistics.fmean(sorted(column)[call.f : len(rows) - call.f])
            for column in zip(*rows)]


def median(rows: Rows, call: Call) -> list[float]:
    middle = statistics.median_low if call.compat else statistics.median
    return [middle(column) for column in zip(*rows)]


def krum(rows: Rows, call: Call) -> list[float]:
    return list(rows[_ranking(rows, call.f)[0]])


def multi_krum(rows: Rows, call: Call) -> list[float]:
    count = call.selected or len(rows) - call.f - 2
    return mean([rows[i] for i in _ranking(rows, call.f)[:count]], Call())


def bulyan(rows: Rows, call: Call) -> list[float]:
    left, picked = list(rows), []
    theta = len(rows) - 2 * call.f
    while len(picked) < theta:
        picked.append(left.pop(_ranking(left, call.f)[0]))
    result = []
    for column in zip(*picked):
        center = statistics.median(column)
        near = sorted(column, key=lambda value: (abs(value - center), value))
        result.append(statistics.fmean(near[: theta - 2 * call.f]))
    return result


def geometric_median(rows: Rows, call: Call) -> list[float]:
    return _weiszfeld(rows, call, call.passes or 20_000)


def rfa(rows: Rows, call: Call) -> list[float]:
    return _weiszfeld(rows, call, call.passes or 3)


def centered_clipping(rows: Rows, call: Call) -> list[float]:
    center = [0.0] * len(rows[0]) if call.reference is None else list(call.reference)
    for _ in range(call.passes or 1):
        moves = []
        for row in rows:
            offset = [x - v for x, v in zip(row, center)]
            length = math.hypot(*offset)
            factor = min(1.0, (call.clip or 10.0) / length) if length else 1.0
            moves.append([factor * o for o in offset])
        center = [v + m for v, m in zip(center, mean(moves, Call()))]
    return center


def norm_bound(rows: Rows, call: Call) -> list[float]:
    norms = [math.hypot(*row) for row in rows]
    bound = call.clip or statistics.median(norms)
    shortened = [[x * min(1.0, bound / norm) if norm else x for x in row]
                 for row, norm in zip(rows, norms)]
    return mean(shortened, call)


def fltrust(rows: Rows, call: Call) -> list[float]:
    trusted = [float(x) for x in call.reference]
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


ORACLES: dict[str, Callable[[Rows, Call], list[float]]] = {
    "mean": mean, "trimmed-mean": trimmed_mean, "median": median, "krum": krum,
    "multi-krum": multi_krum, "bulyan": bulyan, "geometric-median": geometric_median, "rfa": rfa,
    "centered-clipping": centered_clipping, "norm-bound": norm_bound, "fltrust": fltrust}


def _ranking(rows: Rows, f: int) -> list[int]:
    """Return the row indices sorted by Krum score; ties in row order."""
    neighbors = max(len(rows) - f - 2, 1)
    scores = []
    for i, row in enumerate(rows):
        others = sorted(math.dist(row, other) ** 2 for j, other in enumerate(rows) if j != i)
        scores.append(math.fsum(others[:neighbors]))
    return sorted(range(len(rows)), key=lambda i: scores[i])


def _weiszfeld(rows: Rows, call: Call, passes: int) -> list[float]:
    weights = [1.0] * len(rows) if call.weights is None else [float(w) for w in call.weights]
    point = mean(rows, Call(weights=weights))
    for _ in range(passes):
        pulls = [w / max(1e-6, math.dist(row, point)) for w, row in zip(weights, rows)]
        new = mean(rows, Call(weights=pulls))
        if math.dist(new, point) == 0:
            break
        point = new
    return point
