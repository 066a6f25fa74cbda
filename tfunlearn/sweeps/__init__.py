"""Sweeps: resumable grids of runs, with tables of their results."""
