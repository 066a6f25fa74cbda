"""Verification of unlearned runs: behavior and attacks compared with retraining, and a verdict."""

from tfunlearn.experiment.verification.settings import VerifySettings
from tfunlearn.experiment.verification.suite import Verification, verify

__all__ = ["Verification", "VerifySettings", "verify"]
