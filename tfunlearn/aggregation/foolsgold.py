"""FoolsGold: smaller weights for clients whose histories point the same way."""

from __future__ import annotations

import numpy as np


def foolsgold_weights(cosines: np.ndarray, *, kappa: float = 1.0) -> np.ndarray:
    """Return each client's weight by FoolsGold, float64 `(n,)`, from 0 to 1.

        v_i = max_j cs_ij;  cs_ij *= v_i / v_j where v_i < v_j  (pardoning)
        a_i = 1 - max_j cs_ij, clipped to [0, 1], divided by the largest; 1 becomes 0.99
        weight_i = kappa (ln(a_i / (1 - a_i)) + 0.5), clipped to [0, 1]

    Args:
        cosines: cosine similarities of the clients' summed updates, `(n, n)`; the diagonal counts
            as 0.
        kappa: confidence, > 0; default 1.

    Reference:
        Fung et al., "The limitations of federated learning in sybil settings", RAID 2020
        (arXiv 1808.04866).
    """
    similar = np.array(cosines, np.float64)
    np.fill_diagonal(similar, 0)
    largest = similar.max(axis=1)
    lower = largest[:, None] < largest[None, :]
    ratio = np.divide(
        largest[:, None],
        largest[None, :],
        out=np.ones_like(similar),
        where=lower & (largest[None, :] > 0),
    )
    weights = np.clip(1 - (similar * ratio).max(axis=1), 0, 1)
    if weights.max() <= 0:
        return np.zeros(len(weights))
    weights = weights / weights.max()
    weights[weights == 1] = 0.99
    with np.errstate(divide="ignore"):
        return np.clip(kappa * (np.log(weights / (1 - weights)) + 0.5), 0, 1)
