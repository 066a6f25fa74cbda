"""Versions of installed packages."""

from __future__ import annotations

import importlib.metadata
import platform

OTHER_NAMES = {"tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tf-nightly", "tf-nightly-cpu")}


def installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, of this package, and of those of `packages` that exist.

    TensorFlow is found under its other names too; nothing is imported.
    """
    found = {"python": platform.python_version()}
    for package in ("tfunlearn", *packages):
        for name in (package, *OTHER_NAMES.get(package, ())):
            try:
                found[package] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
