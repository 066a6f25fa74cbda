"""Detection of malicious clients from what the server has: updates and global models."""

from tfunlearn.detection.clusters import gap_statistic, upper_cluster
from tfunlearn.detection.detector import (
    DETECTORS,
    Detection,
    Detector,
    ObservedRound,
    Server,
    Watch,
    detect,
    observed,
)
from tfunlearn.detection.grades import Flags, Grade, auc, grade, lasting_since

__all__ = [
    "DETECTORS",
    "Detection",
    "Detector",
    "Flags",
    "Grade",
    "ObservedRound",
    "Server",
    "Watch",
    "auc",
    "detect",
    "gap_statistic",
    "grade",
    "lasting_since",
    "observed",
    "upper_cluster",
]
