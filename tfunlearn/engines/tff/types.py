"""TFF types of what clients hold and receive."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from tfunlearn.core.lazy import tf, tff


def client_type(spec: Mapping[str, tf.TensorSpec]) -> tff.Type:
    """Return the TFF type of one client's tensors."""
    return tff.types.tensorflow_to_type(collections.OrderedDict(spec))
