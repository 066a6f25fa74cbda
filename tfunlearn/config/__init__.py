"""Run configuration: fields, validation, files, presets, fingerprint."""
