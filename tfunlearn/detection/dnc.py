"""Detector by the updates that DnC leaves out."""

from tfunlearn.detection.shares import share_detector

DNC = share_detector("dnc")
