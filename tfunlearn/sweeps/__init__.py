"""Sweeps: grids of runs, resumable, shown as tables."""
