"""NoT: unlearning by negating weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require


def negate(weights: Sequence[np.ndarray], *, places: Sequence[int]) -> list[np.ndarray]:
    """Return the weights with some arrays negated, to be trained on the retain set afterwards.

    Args:
        weights: as returned by `model.get_weights()`.
        places: indices of the arrays to negate; `kernels_of(model)[:1]` is the first layer's
            kernel, the default of the command.

    Raises:
        UserError: no index, or an index out of range.

    Reference:
        Khalil et al., "NoT: Federated Unlearning via Weight Negation" (CVPR 2025,
        arXiv 2503.05657). Negating the first convolution is the default of a re-implementation; the
        number of rounds after it is this project's choice.
    """
    require(
        "places",
        list(places),
        len(places) > 0 and all(0 <= place < len(weights) for place in places),
        f"places from 0 to {len(weights) - 1}",
    )
    return [-weight if place in places else weight.copy() for place, weight in enumerate(weights)]
