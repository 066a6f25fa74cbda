"""Ready grids for `tfunlearn sweep`, a file each."""
