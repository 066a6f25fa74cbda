"""Evaluation of runs: on the test set, and by groups of memorized examples."""
