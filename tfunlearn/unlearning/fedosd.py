"""FedOSD: unlearning steps orthogonal to the remaining clients' updates, and recovery without
reverting them."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import require

LEAST_SINGULAR = 1e-6  # singular values of the unit rows' Gram matrix below it count as zero


def orthogonal_step(forget: np.ndarray, remaining: np.ndarray) -> np.ndarray:
    """Return the unlearning step: the part of `forget` orthogonal to the remaining updates.

        d = u - G^T (G G^T)^+ G u,    then    d |u| / |d|

    An update is minus the learning rate times a gradient, so the same formula holds for both.

    Args:
        forget: u, mean update of the forgotten clients `(d,)`, trained to unlearn.
        remaining: G, updates of the remaining clients `(n, d)`.

    Returns:
        float32 `(d,)`; zeros if `forget` lies in the span of the remaining updates.

    Raises:
        UserError: shapes that do not match, or an update that is not finite.

    Reference:
        Pan et al., "Federated Unlearning with Gradient Descent and Conflict Mitigation" (AAAI
        2025, arXiv 2412.20200), FedOSD. Deviation: rows are first scaled to unit length, which does
        not change their span, so that clients with small updates count too; singular values below
        1e-6 are dropped, whereas the published code keeps them without inverting them.
    """
    _check(forget, remaining)
    lengths = np.linalg.norm(remaining.astype(np.float64), axis=1)
    rows = remaining[lengths > 0] / lengths[lengths > 0, None]  # unit rows with the same span
    left, values, right = np.linalg.svd(rows @ rows.T, hermitian=True)
    kept = values >= LEAST_SINGULAR
    inverse = (right[kept].T / values[kept]) @ left[:, kept].T
    wide = forget.astype(np.float64)
    step = wide - (inverse @ (rows @ wide)) @ rows
    return _stretch(step, forget)


def without_return(updates: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return updates without their component along `moved`, re-scaled to their original norms.

        g - (<g, a> / |a|^2) a,    then re-scaled to |g|

    Args:
        updates: updates of the remaining clients `(n, d)`.
        moved: a, the current model minus the model before unlearning `(d,)`; if it is zero, the
            updates are returned unchanged.

    Raises:
        UserError: shapes that do not match, or an update that is not finite.
    """
    _check(moved, updates)
    length = float(np.dot(moved.astype(np.float64), moved))
    if length == 0:
        return updates.copy()
    return np.stack(
        [
            _stretch(row - (np.dot(row.astype(np.float64), moved) / length) * moved, row)
            for row in updates
        ]
    )


def _check(vector: np.ndarray, stack: np.ndarray) -> None:
    require(
        "updates",
        np.shape(stack),
        np.ndim(stack) == 2 and len(stack) > 0 and np.shape(stack)[1:] == np.shape(vector),
        f"a stack (n, {np.size(vector)}), n >= 1",
    )
    require(
        "updates",
        "entries that are not finite",
        bool(np.isfinite(stack).all() and np.isfinite(vector).all()),
        "finite numbers",
    )


def _stretch(vector: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a vector scaled to the norm of `like`; zeros if its norm is only rounding error."""
    old = float(np.linalg.norm(like.astype(np.float64)))
    new = float(np.linalg.norm(vector))
    if new <= 1e-6 * old:
        return np.zeros(len(vector), np.float32)
    return (vector * (old / new)).astype(np.float32)
