"""Packages of a checkout under the names that they are installed by, for processes to import."""

from __future__ import annotations

import contextlib
import pathlib

PACKAGES = {
    "tfunlearn": "tfunlearn",
    "tfunlearn_cli": "cli",
    "tfunlearn_presets": "data/presets",
    "tfunlearn_published": "data/published",
    "tfunlearn_sweeps": "data/sweeps",
}


def packages(folder: pathlib.Path, checkout: pathlib.Path) -> str:
    """Returns `folder`, filled with links to the packages of a checkout, for PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    for package, place in PACKAGES.items():
        with contextlib.suppress(FileExistsError):
            (folder / package).symlink_to(checkout / place)
    return str(folder)
