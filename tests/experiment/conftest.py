"""A small run under attack that has kept all its rounds."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image
from unlearn_cases import SMALL

from tfunlearn.experiment import run_config, train
from tfunlearn.report import figures


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(run_config(**SMALL), out=folder)


@pytest.fixture
def copied(kept_run, tmp_path):
    """A copy of the run in a folder of its own, without finished runs next to it."""
    shutil.copytree(kept_run.directory.path, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def rasterizer():
    """The function that renders a figure to a file."""
    return figures.render


@pytest.fixture(scope="module", autouse=True)
def figures_without_rendering(rasterizer):
    """Figures are composed but not rendered here; tests/report and tests/cli render them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figures, "render", lambda figure, path: Image.new("L", (1, 1)).save(path, "PNG")
        )
        yield
