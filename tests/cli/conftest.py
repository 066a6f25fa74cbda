"""The command line, run inside this process."""

from __future__ import annotations

import pytest
from forkserver import ForkServer

from tfunlearn.experiment import run_config, train
from tfunlearn_cli import main


@pytest.fixture(scope="session")
def commands():
    """Starter of commands in processes of their own, see `forkserver`."""
    with ForkServer() as server:
        yield server


@pytest.fixture
def typed(monkeypatch, capsys):
    """`(*words) -> exit code, stdout, stderr` of `tfunlearn words`."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["tfunlearn", *map(str, words)])
        code = main._exit_code()
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small trained run, `run`."""
    folder = tmp_path_factory.mktemp("trained")
    train(run_config(train_examples=240, clients=6, rounds=3, lr=3e-3), out=folder / "run")
    return folder


@pytest.fixture
def call(monkeypatch, trained, typed):
    """`typed`, with that folder as the current one."""
    monkeypatch.chdir(trained)
    return typed
