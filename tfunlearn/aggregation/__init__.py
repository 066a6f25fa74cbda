"""Aggregation rules: functions of a stack of updates `(n, d)`, a NumPy array or a tensor."""

from tfunlearn.aggregation.aggregator import Aggregator
from tfunlearn.aggregation.bucketing import bucketing
from tfunlearn.aggregation.bulyan import bulyan
from tfunlearn.aggregation.centered_clipping import centered_clipping
from tfunlearn.aggregation.fltrust import fltrust
from tfunlearn.aggregation.geometric_median import geometric_median
from tfunlearn.aggregation.krum import krum
from tfunlearn.aggregation.mean import mean
from tfunlearn.aggregation.median import median
from tfunlearn.aggregation.multi_krum import multi_krum
from tfunlearn.aggregation.nearest_neighbor_mixing import nearest_neighbor_mixing
from tfunlearn.aggregation.norm_bound import norm_bound
from tfunlearn.aggregation.rfa import rfa
from tfunlearn.aggregation.rule import (
    EXPECTED_SHARES,
    PRE_AGGREGATORS,
    RULES,
    PreAggregator,
    Round,
    Rule,
)
from tfunlearn.aggregation.trimmed_mean import trimmed_mean

__all__ = [
    "EXPECTED_SHARES",
    "PRE_AGGREGATORS",
    "RULES",
    "Aggregator",
    "PreAggregator",
    "Round",
    "Rule",
    "bucketing",
    "bulyan",
    "centered_clipping",
    "fltrust",
    "geometric_median",
    "krum",
    "mean",
    "median",
    "multi_krum",
    "nearest_neighbor_mixing",
    "norm_bound",
    "rfa",
    "trimmed_mean",
]
