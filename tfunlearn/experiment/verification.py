"""Verification of unlearned runs: behavior and attacks compared with retraining, and a verdict."""

from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.suite import Verification, verify

__all__ = ["Verification", "VerifySettings", "verify"]
