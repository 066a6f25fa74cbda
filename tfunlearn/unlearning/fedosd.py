"""FedOSD: a step that forgets and is orthogonal to what the others learn; recovery that does not
go back."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import require

LEAST_SINGULAR = 1e-6  # of the Gram matrix of unit rows; what is below counts as zero


def orthogonal_step(forget: np.ndarray, remaining: np.ndarray) -> np.ndarray:
    """Returns the step of forgetting: what is left of `forget` beside the remaining updates.

        d = u - G^T (G G^T)^+ G u,    then    d |u| / |d|

    An update is minus the learning rate times a gradient, so the same formula holds for both.

    Args:
        forget: mean update of the forgotten clients `(d,)`, trained to unlearn.
        remaining: updates of the remaining clients `(n, d)`.

    Returns:
        float32 `(d,)`; zeros where the remaining updates span the whole of `forget`.

    Raises:
        UserError: shapes that do not fit, or an update that is not finite.

    Reference:
        Pan et al., "Federated Unlearning with Gradient Descent and Conflict Mitigation" (AAAI
        2025, arXiv 2412.20200), FedOSD. Deviation: rows are made equally long first, which does
        not change what they span, so that a small client counts too; singular values below 1e-6
        are dropped, where the published code leaves them in place uninverted.
    """
    _check(forget, remaining)
    lengths = np.linalg.norm(remaining.astype(np.float64), axis=1)
    rows = remaining[lengths > 0] / lengths[lengths > 0, None]  # their span is what counts
    left, values, right = np.linalg.svd(rows @ rows.T, hermitian=True)
    kept = values >= LEAST_SINGULAR
    inverse = (right[kept].T / values[kept]) @ left[:, kept].T
    wide = forget.astype(np.float64)
    step = wide - (inverse @ (rows @ wide)) @ rows
    return _stretched(step, forget)


def without_return(updates: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Returns updates without what points back along `moved`, each as long as it was.

        g - (<g, a> / |a|^2) a,    then    stretched to |g|

    Args:
        updates: of the remaining clients `(n, d)`.
        moved: the model now minus the model before unlearning `(d,)`; without a move the updates
            come back as they are.

    Raises:
        UserError: shapes that do not fit, or an update that is not finite.
    """
    _check(moved, updates)
    length = float(np.dot(moved.astype(np.float64), moved))
    if length == 0:
        return updates.copy()
    return np.stack([_stretched(row - (np.dot(row.astype(np.float64), moved) / length) * moved, row)
                     for row in updates])


def _check(vector: np.ndarray, stack: np.ndarray) -> None:
    require("updates", np.shape(stack), np.ndim(stack) == 2 and len(stack) > 0
            and np.shape(stack)[1:] == np.shape(vector), f"a stack (n, {np.size(vector)}), n >= 1")
    require("updates", "entries that are not finite",
            bool(np.isfinite(stack).all() and np.isfinite(vector).all()), "finite numbers")


def _stretched(vector: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Returns a vector as long as `like`; zeros if nothing but rounding is left of it."""
    old = float(np.linalg.norm(like.astype(np.float64)))
    new = float(np.linalg.norm(vector))
    if new <= 1e-6 * old:
        return np.zeros(len(vector), np.float32)
    return (vector * (old / new)).astype(np.float32)
