"""Pictures of runs and partitions."""

from tfunlearn.report.curves import save_curves, save_histogram

__all__ = ["save_curves", "save_histogram"]
