"""Detector by the updates that Bulyan leaves out."""

from tfunlearn.detection.shares import share_detector

BULYAN = share_detector("bulyan")
