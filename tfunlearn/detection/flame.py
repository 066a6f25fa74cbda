"""Detector by the updates that FLAME leaves out."""

from tfunlearn.detection.shares import share_detector

FLAME = share_detector("flame")
