"""A small run under attack that has kept all its rounds."""

from __future__ import annotations

import shutil

import pytest
from unlearn_cases import SMALL

from tfunlearn.experiment import run_config, train


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(run_config(**SMALL), out=folder)


@pytest.fixture
def copied(kept_run, tmp_path):
    """A copy of the run in a folder of its own, without finished runs next to it."""
    shutil.copytree(kept_run.directory.path, tmp_path / "run")
    return tmp_path / "run"
