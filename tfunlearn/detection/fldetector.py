"""FLDetector: malicious clients' updates do not follow from their earlier ones."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.aggregation.clipping import row_norms
from tfunlearn.core.blocks import pieces_of, sum_of_stripes
from tfunlearn.core.errors import UserError, require, require_whole
from tfunlearn.core.fields import option
from tfunlearn.detection.clusters import gap_statistic, upper_cluster
from tfunlearn.detection.detector import Detector, ObservedRound, Server

WINDOW = 10  # the paper's N
FEWEST = 3  # predictions in a round that counts
SMALLEST = 1e-3  # singular values below this share of the largest are dropped


@dataclass(frozen=True)
class FLDetectorSettings:
    """Settings of FLDetector."""

    window: int = option(
        WINDOW, "Rounds of the window, N, of fldetector; 2N + 1 rounds are needed."
    )
    compat: str | None = option(
        None, "paper: fldetector always flags the cluster of larger scores, as printed."
    )

    def __post_init__(self):
        require_whole("window", self.window, 2)
        require("compat", self.compat, self.compat in (None, "paper"), "None or 'paper'")


class ModelHistory:
    """Differences of consecutive global models, and Hessian-vector products from them.

    With s_j = w_{j+1} - w_j, the aggregate of round j is ubar_j = s_j, and the pairs of L-BFGS are
    S = [s_j] and Y = [s_{j+1} - s_j] for j = t-1-N .. t-2: everything lies in the span of the
    newest N + 1 differences, so that one Gram matrix of them decides the coefficients.

    Args:
        window: N.
    """

    def __init__(self, window: int):
        self._window = window
        self._steps: collections.deque[np.ndarray] = collections.deque(maxlen=window + 1)
        self._gram = np.zeros((0, 0))
        self._model: np.ndarray | None = None

    def add(self, model: np.ndarray) -> None:
        """Take the global model at the start of a round, `(d,)`."""
        if self._model is not None:
            step = model.astype(np.float64) - self._model
            self._steps.append(step)
            inner = np.array([_inner(one, step) for one in self._steps])
            old = self._gram[-len(inner) + 1 :, -len(inner) + 1 :] if len(inner) > 1 else None
            self._gram = np.zeros((len(inner), len(inner)))
            if old is not None:
                self._gram[:-1, :-1] = old
            self._gram[-1], self._gram[:, -1] = inner, inner
        self._model = np.array(model, np.float32)

    @property
    def full(self) -> bool:
        """Whether N + 1 differences are known."""
        return len(self._steps) == self._window + 1

    def product(self, rounds: int) -> np.ndarray:
        """Return B (w_t - w_{t - rounds}), float64 `(d,)`.

        B v = sigma v - [sigma S, Y] M^-1 [sigma S'v; Y'v],  M = [[sigma S'S, L], [L', -D]], with
        D the diagonal and L the strictly lower triangle of S'Y, sigma = y's / s's of the last pair.

        Args:
            rounds: 1 to N + 1.
        """
        return combination(lbfgs_coefficients(self._gram, rounds), self._steps)


def lbfgs_coefficients(inner: np.ndarray, rounds: int) -> np.ndarray:
    """Return B v as coefficients of the N + 1 differences, float64 `(N + 1,)`.

    Args:
        inner: inner products of the differences, oldest first, `(N + 1, N + 1)`.
        rounds: v is the sum of this many newest differences.
    """
    size = len(inner)
    pick = np.eye(size)
    older, change = pick[:, :-1], pick[:, 1:] - pick[:, :-1]  # S and Y in the basis
    ss, sy = older.T @ inner @ older, older.T @ inner @ change
    v = np.where(np.arange(size) >= size - rounds, 1.0, 0.0)
    if ss[-1, -1] <= 0:
        return np.zeros(size)
    sigma = sy[-1, -1] / ss[-1, -1]
    lower, diagonal = np.tril(sy, -1), np.diag(np.diag(sy))
    matrix = np.block([[sigma * ss, lower], [lower.T, -diagonal]])
    right = np.concatenate([sigma * (older.T @ inner @ v), change.T @ inner @ v])
    solved = np.linalg.lstsq(matrix, right, rcond=SMALLEST)[0]
    return sigma * v - np.concatenate([sigma * older, change], axis=1) @ solved


def combination(coefficients: np.ndarray, rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum of rows `(d,)` times coefficients, float64 `(d,)`, without a stack of them."""
    total = None
    for factor, row in zip(coefficients, rows):
        total = factor * row if total is None else np.add(total, factor * row, out=total)
    assert total is not None
    return total


def _inner(one: np.ndarray, other: np.ndarray) -> float:
    return float(
        sum_of_stripes(lambda a, b: np.array(sum(x @ y for x, y in pieces_of(a, b))), one, other)
    )


class _Tracker:
    def __init__(self, own: FLDetectorSettings):
        self._own, self._history = own, ModelHistory(own.window)
        self._last = np.zeros((0, 0), np.float32)  # each client's last update
        self._own_memory = True  # may they be written to?
        self._rows: dict[int, int] = {}  # client to its row in them
        self._when: dict[int, int] = {}  # client to its last round
        self._shares: collections.deque[dict[int, float]] = collections.deque(maxlen=own.window)
        self._norms: dict[int, list[float]] = {}

    def add(self, seen: ObservedRound) -> None:
        self._history.add(seen.model)
        if self._history.full:
            self._shares.append(self._distances(seen))
        for client, norm in zip(seen.ids.tolist(), row_norms(seen.updates)):
            self._norms.setdefault(client, []).append(float(norm))
        self._remember(seen)

    def _remember(self, seen: ObservedRound) -> None:
        known = np.array([client in self._rows for client in seen.ids.tolist()], bool)
        if known.all() and isinstance(self._rows_of(seen.ids), slice):
            self._last, self._own_memory = seen.updates, False  # all clients again: no copy
        elif known.any():
            if not self._own_memory:
                self._last, self._own_memory = self._last.copy(), True
            self._last[self._rows_of(seen.ids[known])] = _at(known, seen.updates)
        if not known.all():
            for client in seen.ids[~known].tolist():
                self._rows[client] = len(self._rows)
            new = _at(~known, seen.updates)
            self._last = np.concatenate([self._last, new]) if len(self._last) else new.copy()
            self._own_memory = True
        self._when.update(dict.fromkeys(seen.ids.tolist(), seen.number))

    def _rows_of(self, ids: np.ndarray) -> np.ndarray | slice:
        """Return the rows of clients in the last updates; a slice, which copies nothing, of all."""
        rows = np.array([self._rows[client] for client in ids.tolist()])
        in_order = len(rows) == len(self._last) and (rows == np.arange(len(rows))).all()
        return slice(None) if in_order else rows

    def _distances(self, seen: ObservedRound) -> dict[int, float]:
        """Return each client's distance to its prediction, divided by the mean of all.

        Empty for a round of too few predictions.
        """
        away = np.array([seen.number - self._when.get(k, -seen.number) for k in seen.ids.tolist()])
        found: dict[int, float] = {}
        for rounds in np.unique(away[away <= self._own.window + 1]):
            group = away == rounds
            ids = seen.ids[group]
            before = self._last[self._rows_of(ids)]
            errors = _errors(before, _at(group, seen.updates), self._history.product(int(rounds)))
            found.update(zip(ids.tolist(), errors.tolist()))
        if len(found) < FEWEST:  # a share among so few says who else came, not how it differs
            return {}
        mean = sum(found.values()) / len(found)
        return {client: d / mean if mean > 0 else 0.0 for client, d in found.items()}

    def decide(self) -> tuple[Mapping[int, float], Iterable[int], Mapping[str, Any]]:
        ids = sorted({client for shares in self._shares for client in shares})
        if len(ids) < 3:
            raise UserError(
                f"detector: fldetector needs 3 clients that come back within "
                f"{self._own.window + 1} rounds, in rounds of at least {FEWEST} such clients; got "
                f"{len(ids)}"
            )
        scores = np.array(
            [np.mean([shares[k] for shares in self._shares if k in shares]) for k in ids]
        )
        gap = gap_statistic(scores)
        evidence: dict[str, Any] = dict(
            clusters=gap.clusters,
            gaps=list(gap.gaps),
            spreads=list(gap.spreads),
            median_distance=[float(v) for v in np.abs(scores - np.median(scores))],
            mean_norms=[float(np.mean(self._norms[k])) for k in ids],
        )
        if gap.clusters == 1:
            return dict(zip(ids, scores)), (), evidence
        upper = upper_cluster(scores)
        side = upper
        if self._own.compat is None and 2 * np.count_nonzero(upper) > len(upper):
            side = ~upper
        evidence["sizes"] = [int((~upper).sum()), int(upper.sum())]
        evidence["side"] = "larger scores" if side is upper else "smaller scores"
        return dict(zip(ids, scores)), (k for k, is_in in zip(ids, side) if is_in), evidence


def _errors(before: np.ndarray, updates: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Return || before_i + product - update_i || of each row, float64 `(n,)`."""

    def stripe(*parts: np.ndarray) -> np.ndarray:
        total = np.zeros(len(before))
        for old, new, step in pieces_of(*parts):
            error = np.subtract(old, new, dtype=np.float64)
            error += step
            total += np.einsum("ij,ij->i", error, error)
        return total

    return np.sqrt(sum_of_stripes(stripe, before, updates, product))


def _at(mask: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows if mask.all() else rows[mask]


def _begin(own: FLDetectorSettings, server: Server) -> _Tracker:
    """Predict each update from the client's last one and the models' curvature; cluster the errors.

        predicted u_i^t = u_i^tau + B (w_t - w_tau), tau the client's last round before t
        d_i = || predicted - u_i^t || / mean over the round's clients; score = mean over N rounds

    The smaller one of the best two clusters is flagged; of equally large ones, that of larger
    scores; with compat "paper", always that of larger scores.

    Deviation: the paper flags the cluster of larger scores, which under ALIE and min-max is that
    of all honest clients: crafted updates are more consistent than honest ones. The paper covers
    full participation (tau = t - 1), and divides by the sum, which is the same up to a factor as
    long as equally many take part; a client that was away for more than N + 1 rounds has no
    prediction in its first round, and rounds of fewer than three predictions do not count. The
    paper restarts training without the flagged clients; here they can be unlearned.
    """
    return _Tracker(own)


FLDETECTOR = Detector(
    name="fldetector",
    summary="distance of each update to its prediction from earlier ones, clustered",
    paper="Zhang et al., KDD 2022, arXiv 2207.09209",
    settings=FLDetectorSettings,
    begin=_begin,
    least_rounds=lambda own: 2 * own.window + 1,
    consecutive=True,
    tried_with={"window": 3},
    remarks=(
        "the smaller cluster counts as malicious, on the assumption of an honest majority",
        "where clients train several steps, the prediction is hardly better than the last update",
    ),
)
