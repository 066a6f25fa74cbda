"""Settings of the papers' experiments by name, for `train` and `unlearn`."""

from __future__ import annotations

import importlib.resources
import pathlib

from tfunlearn.core.errors import choose
from tfunlearn.experiment.config_reading import read_table


def presets() -> list[str]:
    """Returns the names of the presets that come with the package."""
    folder = importlib.resources.files("tfunlearn_presets")
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir()
                  if path.name.endswith(".toml"))


def preset(name: str, command: str) -> dict:
    """Returns the fields that a preset sets, other fields keep their defaults.

    Example:
        run_config(**preset("ablation-channel-cifar10-resnet20", "train"), seed=1)

    Args:
        name: one of `presets()`.
        command: `"train"` or `"unlearn"`.

    Raises:
        UserError: no preset of that name.
    """
    choose("preset", name, dict.fromkeys(presets()))
    path = importlib.resources.files("tfunlearn_presets") / f"{name}.toml"
    return read_table(str(pathlib.Path(str(path))))[command]
