"""Detection of malicious clients in runs: the documented entry points."""

from tfunlearn.detection import DETECTORS, Detection, Grade, detect, grade, observed
from tfunlearn.workflows.detect import RunDetection, detect_run

__all__ = [
    "DETECTORS",
    "Detection",
    "Grade",
    "RunDetection",
    "detect",
    "detect_run",
    "grade",
    "observed",
]
