"""Aggregation rules: functions over a stack of updates `(n, d)`."""

from tfunlearn.aggregation.mean import mean

__all__ = ["mean"]
