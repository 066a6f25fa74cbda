"""Detector by the updates that SignGuard leaves out."""

from tfunlearn.detection.shares import share_detector

SIGNGUARD = share_detector("signguard")
