"""Versions of installed packages."""

from __future__ import annotations

import importlib.metadata
import platform


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of Python, of this package, and of those of `packages` that exist."""
    found = {"python": platform.python_version()}
    for package in ("tfunlearn", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
