"""Unlearning of runs, from one run directory to a new one."""
