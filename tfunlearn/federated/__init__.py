"""Federated rounds on any engine."""

from tfunlearn.federated.averaging import AveragingRounds
from tfunlearn.federated.gathering import GatheringRounds, Updates
from tfunlearn.federated.partial import PartialRounds

__all__ = ["AveragingRounds", "GatheringRounds", "PartialRounds", "Updates"]
