"""The configuration of a run: its fields, their checks, files, presets, fingerprint."""
