"""Settings of the papers' experiments, one file each, as TOML."""
