"""FedUP's estimate of the pruning fraction from the similarity of the benign clients."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

P_MIN, P_MAX, GAMMA = 0.01, 0.15, 5.0


@dataclass(frozen=True)
class FractionEstimate:
    """Estimated pruning fraction and the values it was computed from.

    Attributes:
        fraction: the fraction P.
        z: similarity rescaled to 0 to 1; None with fewer than two clients.
        similarity: mean pairwise cosine similarity; None with fewer than two clients.
        clients: number of benign clients compared.
        p_min, p_max, gamma: constants of the formula; default 0.01, 0.15, 5.
    """

    fraction: float
    z: float | None
    similarity: float | None
    clients: int
    p_min: float = P_MIN
    p_max: float = P_MAX
    gamma: float = GAMMA


def mean_cosine(rows: np.ndarray) -> float:
    """Return the mean cosine similarity over all pairs of `rows` `(n, d)`; a row of zeros has
    similarity 0 to all others."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    gram = units @ units.T
    n = len(rows)
    return float((gram.sum() - np.trace(gram)) / (n * (n - 1)))


def estimate_fraction(
    rows: np.ndarray,
    *,
    p_min: float = P_MIN,
    p_max: float = P_MAX,
    gamma: float = GAMMA,
) -> FractionEstimate:
    """Return the estimated share of each kernel that FedUP prunes.

        P = (p_max - p_min) * z^gamma + p_min,    z = clip((s - 0.5) / 0.5, 0, 1)

    with s the mean pairwise cosine similarity of the benign clients' last layers.

    Args:
        rows: last layer's kernel of each benign client, `(n, d)`.
        p_min: smallest fraction; default 0.01.
        p_max: largest fraction; default 0.15.
        gamma: exponent; default 5.

    Returns:
        The estimate; `p_min`, with a warning, if there are fewer than two clients.

    Reference:
        Romandini et al., "FedUP" (arXiv 2508.13853); constants as in re-implementations of the
        paper. Whether the paper's similarity is between models or between updates is unclear;
        models match the range [0.5, 1] that it is rescaled from.
    """
    if len(rows) < 2:
        warnings.warn(
            f"fraction: {len(rows)} benign client shows no similarity; taking the "
            f"least fraction, {p_min}",
            stacklevel=2,
        )
        return FractionEstimate(p_min, None, None, len(rows), p_min, p_max, gamma)
    similarity = mean_cosine(rows)
    z = float(np.clip((similarity - 0.5) / 0.5, 0.0, 1.0))
    return FractionEstimate(
        (p_max - p_min) * z**gamma + p_min, z, similarity, len(rows), p_min, p_max, gamma
    )
