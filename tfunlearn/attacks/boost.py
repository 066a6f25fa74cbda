"""Boost (model replacement): malicious clients scale up their updates to replace the model."""

from __future__ import annotations

from tfunlearn.attacks.attack import BoostAttack
from tfunlearn.core.errors import require


def replacement_factor(clients: int, malicious: int) -> float:
    """Return the factor by which malicious updates are scaled to outweigh all others in a mean.

        factor = n / c

    If benign updates cancel out, the global model becomes that of the malicious clients.
    Statistics of normalization layers are never scaled, since variances must stay positive.

    Args:
        clients: number of clients in the round, n.
        malicious: number of malicious clients among them, 1 <= c <= n.

    Raises:
        UserError: `malicious` out of range.

    Reference:
        Bagdasaryan et al., "How to backdoor federated learning", AISTATS 2020
        (arXiv 1807.00459), with eta = 1 and c malicious clients instead of one.
    """
    require("malicious", malicious, 1 <= malicious <= clients, f"from 1 to {clients}")
    return clients / malicious


BOOST = BoostAttack(
    name="boost",
    summary="malicious updates are scaled by n / c, with an attack on data",
    paper="Bagdasaryan et al., AISTATS 2020, arXiv 1807.00459",
    factor=replacement_factor,
)
