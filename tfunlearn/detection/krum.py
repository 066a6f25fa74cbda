"""Detector by the updates that Krum leaves out."""

from tfunlearn.detection.shares import share_detector

KRUM = share_detector("krum")
