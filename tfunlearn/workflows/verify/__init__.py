"""Verification of unlearned runs: behavior and attacks compared with retraining, and a verdict."""
