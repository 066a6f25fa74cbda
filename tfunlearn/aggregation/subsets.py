"""Best subsets of n - f rows: of least diameter, and of least variance in any direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows
from tfunlearn.core.blocks import mean_centered
from tfunlearn.core.errors import UserError

CONDITION = "f < n / 2"
MOST_F = 20  # 2^f branches decide whether a subset of a diameter exists
MOST_NODES = 1_000_000


def mean_of_subset(rule: str, updates, f: int, strict: bool, choose: Callable):
    """Return the mean of the subset that `choose` finds, float32 `(d,)`.

    Args:
        rule: name of the rule, for messages.
        updates, f, strict: as for the rules.
        choose: `(rows (n, d), f) -> bool (n,)`.
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows(rule, stack, f, 2 * f + 1, CONDITION, strict=strict)
    return weighted_mean(stack, choose(stack.rows, min(f, stack.n - 1)))


def least_diameter(distances: np.ndarray, f: int) -> np.ndarray:
    """Return the mask of the `n - f` rows whose largest distance is least, bool `(n,)`.

    A subset of diameter t exists if removing f rows separates all pairs that are farther apart
    than t, a vertex cover: of any such pair one row must go, so that 2^f branches decide. The
    least t is found by bisection over the distances. Of several subsets, the first one in
    lexicographic order is taken, with the rows ordered by the sum of their distances: the result
    does not depend on the order of the rows.

    Args:
        distances: `(n, n)`.
        f: number of rows to remove.

    Raises:
        UserError: f above 20.
    """
    n = len(distances)
    if f > MOST_F:
        raise UserError(f"mda: f must be at most {MOST_F} (2^f steps); got f={f}, n={n}")
    if f == 0:
        return np.ones(n, bool)
    levels = np.unique(distances[np.triu_indices(n, 1)]) if n > 1 else np.zeros(1)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if _coverable(distances > levels[middle], np.ones(n, bool), f):
            high = middle
        else:
            low = middle + 1
    far = distances > levels[low]
    left, kept, budget = np.ones(n, bool), np.zeros(n, bool), f
    for row in np.argsort(distances.sum(axis=1), kind="stable"):
        if not left[row]:
            continue
        others = left.copy()
        others[row] = False
        must_go = others & far[row]
        rest = others & ~must_go
        cost = int(must_go.sum())
        if cost <= budget and kept.sum() < n - f and _coverable(far, rest, budget - cost):
            kept[row], left, budget = True, rest, budget - cost
        else:
            left, budget = others, budget - 1
    return kept


def _coverable(far: np.ndarray, left: np.ndarray, budget: int) -> bool:
    """Return whether removing `budget` of the rows `left` leaves no far pair."""
    if budget < 0:
        return False
    degrees = (far & left[None, :] & left[:, None]).sum(axis=1)
    row = int(degrees.argmax())
    if degrees[row] == 0:
        return True
    if budget == 0:
        return False
    without = left.copy()
    without[row] = False
    if _coverable(far, without, budget - 1):
        return True
    neighbors = left & far[row]
    return _coverable(far, left & ~neighbors, budget - int(neighbors.sum()))


def least_variance(products: np.ndarray, f: int) -> np.ndarray:
    """Return the mask of the `n - f` rows whose covariance has the least top eigenvalue.

    Branch and bound over which rows to remove. The scatter matrix of a subset only grows with more
    rows, and its top eigenvalue is at least the scatter along any direction, for which the best
    removal is a window of the sorted projections: both bound a branch from below.

    Args:
        products: inner products of the rows, `(n, n)`.
        f: number of rows to remove.

    Raises:
        UserError: more than 1,000,000 branches.
    """
    n = len(products)
    if f == 0:
        return np.ones(n, bool)
    search = _Search(products, f)
    search.begin()
    search.branch(np.ones(n, bool), np.zeros(n, bool), f)
    assert search.best is not None
    return search.best


class _Search:
    """Branch and bound of `least_variance`."""

    def __init__(self, products: np.ndarray, f: int):
        self._products, self._f, self._nodes = products, f, 0
        self.best: np.ndarray | None = None
        self._least = np.inf

    def begin(self) -> None:
        """Find a first subset: remove the row farthest along the top direction, f times."""
        left = np.ones(len(self._products), bool)
        for _ in range(self._f):
            _, along = self._top(left)
            worst = np.flatnonzero(left)[int(np.argmax(np.abs(along)))]
            left[worst] = False
        self.best, self._least = left, self._top(left)[0]

    def branch(self, left: np.ndarray, fixed: np.ndarray, budget: int) -> None:
        """Search the subsets that remove `budget` of the rows `left`, none of the `fixed` ones."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise UserError(
                f"smea: more than {MOST_NODES:,} steps for n={len(left)}, f={self._f}; use another "
                "rule, such as caf"
            )
        if budget == 0:
            top = float(np.linalg.eigvalsh(self._scatter(left))[-1])
            if top < self._least:
                self.best, self._least = left.copy(), top
            return
        _, along = self._top(left)
        if _window_scatter(along, budget) >= self._least or self._exceeds(fixed):
            return
        rows = np.flatnonzero(left)
        for row in rows[np.argsort(-np.abs(along), kind="stable")]:
            if fixed[row]:
                continue
            left[row] = False
            self.branch(left, fixed.copy(), budget - 1)
            left[row] = True
            fixed[row] = True
            if np.count_nonzero(left & ~fixed) < budget or self._exceeds(fixed):
                return

    def _exceeds(self, chosen: np.ndarray) -> bool:
        """Return whether rows that all stay have too large a top eigenvalue already."""
        if not chosen.any():
            return False
        centered = self._scatter(chosen)
        if np.trace(centered) < self._least:  # the sum of all eigenvalues
            return False
        return float(np.linalg.eigvalsh(centered)[-1]) >= self._least

    def _scatter(self, chosen: np.ndarray) -> np.ndarray:
        return mean_centered(self._products[np.ix_(chosen, chosen)])

    def _top(self, chosen: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the top eigenvalue of the scatter matrix, and the rows' places along its axis."""
        values, vectors = np.linalg.eigh(self._scatter(chosen))
        top = max(float(values[-1]), 0.0)
        return top, np.sqrt(top) * vectors[:, -1]


def _window_scatter(along: np.ndarray, budget: int) -> float:
    """Return the least scatter of `along` without `budget` of its values."""
    ordered = np.sort(along)
    size = len(ordered) - budget
    windows = np.lib.stride_tricks.sliding_window_view(ordered, size)
    return float((windows.var(axis=1) * size).min())
