"""Verification of unlearned runs: the documented entry points."""

from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.suite import Verification, verify

__all__ = ["Verification", "VerifySettings", "verify"]
