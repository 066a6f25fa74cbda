"""Pruning of Keras models in place: least-l1 filters, and pairs of alike units."""

from tfunlearn.pruning.filters import prune_filters
from tfunlearn.pruning.pairs import prune_pairs
from tfunlearn.pruning.records import FilterRecord, Pair, PairRecord

__all__ = ["FilterRecord", "Pair", "PairRecord", "prune_filters", "prune_pairs"]
