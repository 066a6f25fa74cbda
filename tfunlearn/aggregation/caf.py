"""Covariance-bound agnostic filter (CAF)."""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows
from tfunlearn.core.blocks import centered_gram

CONDITION = "f < n / 2"


def caf(updates, *, f: int, strict: bool = True):
    """Return a weighted mean whose weights shrink along the directions of most variance.

        c = 1; while sum c > n - 2f:
            mu, (lambda, v) = mean and top eigenpair of the covariance, both weighted by c
            tau_i = (v . (x_i - mu))^2;   c_i *= 1 - tau_i / max tau
        the mu of least lambda

    Args:
        updates: float32 `(n, d)`, an array. Non-finite rows are dropped; each uses up one of the
            `f`.
        f: number of malicious rows to tolerate, >= 0; 0 is the mean. Sample counts are ignored.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(d,)`.

    Deviation: the maximum of tau is over the rows of positive weight, so that each round removes
    one and there are at most n. Eigenpairs are exact, from the n x n Gram matrix: equal input gives
    equal bits.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Allouah, Guerraoui and Stephan, "Towards trustworthy federated learning with untrusted
        participants", 2025 (arXiv 2505.01874).
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("caf", stack, f, 2 * f + 1, CONDITION, strict=strict)
    return weighted_mean(stack, caf_weights(centered_gram(stack.rows), f))


def caf_weights(products: np.ndarray, f: int) -> np.ndarray:
    """Return the weights of the rows, float64 `(n,)`, of sum 1.

    Args:
        products: inner products of the rows, from any origin, `(n, n)`.
        f: number of malicious rows to tolerate.
    """
    n = len(products)
    c, best, least = np.ones(n), np.ones(n) / n, np.inf
    while f and c.sum() > max(n - 2 * f, 0):
        shares = c / c.sum()
        means = products @ shares
        centered = products - means[:, None] - means[None, :] + shares @ means
        root = np.sqrt(shares)
        values, vectors = np.linalg.eigh(root[:, None] * centered * root[None, :])
        top = max(float(values[-1]), 0.0)
        if top < least:
            best, least = shares, top
        if top <= 1e-24 * max(float(np.abs(products.diagonal()).max()), 1e-300):
            break  # all rows of positive weight are equal
        tau = (centered @ (root * vectors[:, -1])) ** 2 / top
        c = c * np.maximum(1 - tau / tau[c > 0].max(), 0)
    return best


CAF = Rule(
    name="caf",
    summary="mean with weights that shrink along the directions of most variance",
    paper="Allouah et al. 2025, arXiv 2505.01874",
    apply=lambda updates, given, own: caf(updates, f=given.f, strict=given.strict),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
    needs_arrays=lambda own: "rule",
    ignores_huge=True,
    validates_f=True,
    averages={},
)
