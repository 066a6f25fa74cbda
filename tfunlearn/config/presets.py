"""Settings of published experiments by name, for `train`, `unlearn` and `verify`."""

from __future__ import annotations

import importlib.resources
import pathlib

from tfunlearn.config.reading import read_table
from tfunlearn.core.errors import choose, require


def presets() -> list[str]:
    """Return the names of the presets shipped with the package."""
    folder = importlib.resources.files("tfunlearn_presets")
    return sorted(
        path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")
    )


def preset(name: str, command: str) -> dict:
    """Return the fields that a preset sets; all other fields keep their defaults.

    Example:
        run_config(**preset("ablation-channel-cifar10-resnet20", "train"), seed=1)

    Args:
        name: one of `presets()`.
        command: `"train"`, `"unlearn"` or `"verify"`.

    Raises:
        UserError: no preset of that name, or the preset has no settings for the command.
    """
    choose("preset", name, dict.fromkeys(presets()))
    path = importlib.resources.files("tfunlearn_presets") / f"{name}.toml"
    table = read_table(str(pathlib.Path(str(path))))
    require(
        "preset",
        name,
        command in table,
        f"a preset for {command}; this one is for {' and '.join(table)}",
    )
    return table[command]
