"""Pruning of Keras models in place: filters with the smallest L1 norm, and pairs of similar units.

Independent of federated learning; runs under Keras 2 and Keras 3.
"""

from typing import TYPE_CHECKING

from tfunlearn.core.schedules import at, between, every
from tfunlearn.pruning.filters import prune_filters
from tfunlearn.pruning.intervals.propagation import activation_bounds, predicted_impact
from tfunlearn.pruning.pairs import prune_pairs
from tfunlearn.pruning.preview import apply, explain
from tfunlearn.pruning.records import FilterRecord, Pair, PairRecord

if TYPE_CHECKING:
    from tfunlearn.pruning.callbacks import FLAP, FilterPruning, PairPruning

_CALLBACKS = ("FLAP", "FilterPruning", "PairPruning")

__all__ = [
    "FLAP",
    "FilterPruning",
    "PairPruning",
    "FilterRecord",
    "Pair",
    "PairRecord",
    "activation_bounds",
    "apply",
    "at",
    "between",
    "every",
    "explain",
    "predicted_impact",
    "prune_filters",
    "prune_pairs",
]


def __getattr__(name: str):
    """Import the callbacks on first access, since their base class needs all of TensorFlow."""
    if name in _CALLBACKS:
        from tfunlearn.pruning import callbacks

        return getattr(callbacks, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
