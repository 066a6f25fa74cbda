"""NoT: unlearning by negating weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import require


def negate(weights: Sequence[np.ndarray], *, places: Sequence[int]) -> list[np.ndarray]:
    """Returns the weights with some arrays negated; training on the remaining data follows.

    Args:
        weights: as `model.get_weights()` gives them.
        places: which arrays; `kernels_of(model)[:1]` is the first layer's kernel, the default of
            the command.

    Raises:
        UserError: no array, or one that is not there.

    Reference:
        Khalil et al., "NoT: Federated Unlearning via Weight Negation" (CVPR 2025,
        arXiv 2503.05657). That the first convolution is negated is the default of a
        re-implementation, the number of rounds after it is chosen here.
    """
    require("places", list(places), len(places) > 0 and all(
        0 <= place < len(weights) for place in places), f"places 0 to {len(weights) - 1}")
    return [-weight if place in places else weight.copy() for place, weight in enumerate(weights)]
