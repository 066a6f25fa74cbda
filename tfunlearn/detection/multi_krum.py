"""Detector by the updates that multi-Krum leaves out."""

from tfunlearn.detection.shares import share_detector

MULTI_KRUM = share_detector("multi-krum")
