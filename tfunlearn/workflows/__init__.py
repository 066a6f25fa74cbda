"""Workflows of the commands: unlearn, verify, evaluate, report, prune."""
