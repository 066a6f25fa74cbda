"""Conformance suites: the contract of each family of methods, for built-in and your own methods."""
