"""Boost: malicious clients scale their update up, so that it replaces the model."""

from __future__ import annotations

from tfunlearn.core.errors import require


def replacement_factor(clients: int, malicious: int) -> float:
    """Returns the factor with which malicious updates outweigh all others in a mean.

        factor = n / c

    The global model becomes the attackers' own if honest updates cancel out. Statistics of
    normalisation layers are never scaled: a variance must stay positive.

    Args:
        clients: clients in the round, n.
        malicious: attackers among them, c >= 1.

    Reference:
        Bagdasaryan et al., "How to backdoor federated learning", AISTATS 2020
        (arXiv 1807.00459), with eta = 1 and c attackers instead of one.
    """
    require("malicious", malicious, 1 <= malicious <= clients, f"1 to {clients}")
    return clients / malicious
