"""Unlearning methods, one file each, and the task that they are given."""
