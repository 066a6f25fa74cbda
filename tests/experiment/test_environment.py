"""Independence of the environment: MPLBACKEND, PYTHONWARNINGS, a `~` that no shell expanded."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tfunlearn.config.reading import read_config, run_config
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import new_file, user_path, write_json
from tfunlearn.core.requests import read_examples
from tfunlearn.datasets import load
from tfunlearn.models import build_model
from tfunlearn.models.saved import load_model
from tfunlearn.runs.run_directory import new_run_directory, open_run_directory
from tfunlearn.sweeps.grid_reading import read_grid

DRAW = """
import os, sys, warnings
from tfunlearn.report.figures import colormap, new_figure, save_figure
figure, axes = new_figure(2, 2)
axes.bar([0], [1], color=colormap("tab10", 3)(0))
axes.set_title("\\u4e00")
save_figure(figure, sys.argv[1])
print(os.environ.get("MPLBACKEND"))
"""


@pytest.mark.parametrize(
    "backend",
    [
        "module://matplotlib_inline.backend_inline",
        "module://no.such.module",
        "nonsense",
        "tkagg",
        "agg",
        "",
    ],
)
def test_figures_are_drawn_whatever_the_backend(tmp_path, backend):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAW, tmp_path / "x.png"],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend  # it is unchanged
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_tensorflow_is_imported_whatever_the_backend():
    """Keras 3 imports matplotlib."""
    code = (
        "import os; from tfunlearn.core.lazy import tf; tf.keras.layers.Dense(1);"
        "print(os.environ['MPLBACKEND'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "nonsense"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "nonsense"


def test_a_matplotlib_that_is_there_keeps_its_backend(tmp_path):
    code = (
        "import matplotlib\nbefore = matplotlib.get_backend()\n"
        + DRAW
        + ("assert matplotlib.get_backend() == before and matplotlib is sys.modules['matplotlib']")
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.png"],
        check=True,
        env={**os.environ, "MPLBACKEND": "svg"},
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that is not the current folder."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not list((tmp_path / "work").iterdir())  # no folder named ~


def test_the_home_folder_is_meant_wherever_a_path_enters(home, request):
    model = build_model("mlp", (8, 8, 1), 10)
    model.save(home / "net.keras")
    assert load_model("~/net.keras").count_params() == model.count_params()
    assert new_file("out", "~/x.keras", (".keras",)) == home / "x.keras"
    write_json("~/config.json", {"rounds": 3, "data_dir": "~/sets"})
    assert read_config("~/config.json")["rounds"] == 3
    config = run_config(**read_config("~/config.json"), model="~/net.keras")
    assert config.data.data_dir == str(home / "sets")
    assert config.model.model == str(home / "net.keras")
    (home / "pairs").write_text("3:17\n")
    assert read_examples("~/pairs") == ["example:3:17"]
    (home / "grid.toml").write_text('[grid]\nrule = ["mean"]\n')
    assert read_grid("~/grid.toml").title == "grid"
    run = new_run_directory("~/runs/one", "", config.flat())
    assert run.path == home / "runs" / "one"
    (run.path / "model.keras").write_bytes(b"")
    assert open_run_directory("~/runs/one").path == home / "runs" / "one"


def test_data_sets_in_the_home_folder(home, shared_data):
    (home / "sets").symlink_to(shared_data)
    assert load("mnist", "~/sets").classes == 10


def test_the_home_folder_of_nobody():
    with pytest.raises(UserError, match="path: .*got '~nobody-of-that-name/x'"):
        user_path("~nobody-of-that-name/x")
    assert user_path("a/~b") == pathlib.Path("a/~b")
